"""Real clusters are hurt at random while they work, and what is lost is counted: ``make chaos``."""
