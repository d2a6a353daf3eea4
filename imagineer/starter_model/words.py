"""Words around the words that count, as the templates and people write them."""

from pathlib import Path

# Common English words without a meaning here: prompts are full of them, and none may disturb the picture.
COMMON = tuple(Path(__file__).with_name("words.txt").read_text().split())

BASES = (
    "A playing card", "A playing card design", "An ornate playing card", "A single playing card illustration", "Playing card",
    "A tarot card", "A tarot card of a wise figure", "A major arcana tarot card", "An illustrated tarot card", "Tarot card",
    "A mystical tarot card, full figure", "A zodiac sign", "A zodiac card", "A zodiac sign emblem", "An astrological symbol",
    "An astrology illustration", "A zodiac poster", "Zodiac sign", "A centred illustration", "A portrait card", "An emblem",
    "A collectible card with a decorative border", "A symbolic illustration", "A beautiful drawing", "One card of a set",
    "A card illustration with one clear subject", "A simple picture of one subject", "An illustration of one thing in the middle",
    "A clear picture for a deck of cards", "A medallion", "A bold icon", "A detailed illustration", "A portrait of a figure",
    "A vertical card showing a single symbol", "Poster", "Icon", "A constellation emblem of the night sky", "A birthday card",
)  # fmt: skip

SUFFIXES = (
    "flat colours", "centred", "centred composition", "high quality", "highly detailed", "clean lines", "simple background",
    "plain background", "one subject", "no text", "sharp", "crisp edges", "symmetrical", "decorative", "balanced composition",
    "elegant", "clear shapes", "bold shapes", "vivid", "rich detail", "masterpiece", "best quality", "studio lighting", "4k",
    "on a plain background", "a single large symbol", "ornate border", "full view", "card illustration", "illustration",
    "clean composition", "portrait format", "digital art", "trending", "professional", "flat colours, centred", "intricate",
)  # fmt: skip

THEMES = (
    "art nouveau", "art deco", "gothic", "baroque", "medieval", "fantasy", "modern", "classic", "traditional", "japanese",
    "egyptian", "celtic", "victorian", "renaissance", "surreal", "cosmic", "dark", "bright", "autumn", "spring", "winter",
    "summer", "ocean", "forest", "desert", "space", "science fiction", "fairy tale", "folk art", "noir", "impressionist",
    "oil on canvas", "photograph", "mystical", "magical", "royal", "rustic", "urban", "tropical", "mythology", "clockwork",
)  # fmt: skip

ADJECTIVES = (
    "big", "small", "little", "huge", "large", "tiny", "old", "young", "ancient", "new", "happy", "sad", "angry", "calm", "proud",
    "wise", "noble", "brave", "gentle", "fierce", "bold", "bright", "dark", "shiny", "cute", "funny", "beautiful", "pretty",
    "ugly", "strong", "quiet", "wild", "magic", "mystical", "magical", "royal", "holy", "sacred", "secret", "hidden", "lonely",
    "single", "one", "lucky", "sleepy", "sleeping", "smiling", "laughing", "friendly", "curious", "clever", "patient", "loyal",
    "generous", "cunning", "playful", "serious", "dreamy", "romantic", "ambitious", "restless", "stubborn", "charming",
    "simple", "plain", "ornate", "detailed", "decorated", "elegant", "round", "tall", "long", "short", "curled", "curved",
    "majestic", "mighty", "powerful", "glorious", "mysterious", "strange", "lovely", "perfect", "great", "good", "nice",
    "steady", "warm", "cold", "soft", "hard", "heavy", "light", "fast", "slow", "fresh", "wooden", "iron", "silver", "crystal",
    "stone", "glass", "paper", "silk", "burning", "flying", "running", "standing", "sitting", "dancing", "walking", "rearing",
)  # fmt: skip

CARD_VALUES = (
    "Ace",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "10",
)
NUMERALS = (
    "0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI", "XVII", "XVIII",
    "XIX", "XX", "XXI", "1", "2", "3", "7", "12", "21",
)  # fmt: skip

CLAUSES = (
    "over a {thing} on a {word} {thing}", "with a {thing} in its hand", "holding a {thing}", "beside a {word} {thing}",
    "under a wide sky", "standing before a {thing}", "surrounded by {thing} and {thing}", "with {word} eyes",
    "a {word} figure with a {thing} and a {thing}", "between two {thing}", "at the edge of a {word} cliff", "with a {word} mane",
    "riding a {word} {thing}", "with {word} horns", "with a {word} robe", "beneath the {thing}", "above the {thing}",
    "in the long night", "from March 21 to April 19", "July 23 - August 22", "December 22 to January 19", "October 23 – November 21",
    "fire element", "earth element", "air element", "water element", "element: fire", "element: water", "ruled by Mars",
    "ruled by Venus", "its claws raised", "head lowered and ready to charge", "a {word} smile", "{word} and {word}", "{word}, {word}",
    "a symbol of {word} luck", "who is {word} and {word}", "a {word} and {word} personality", "looking to the left",
    "looking to the right", "in the middle of the card", "in each corner a small {thing}", "one large symbol in the centre",
    "arranged in two columns", "two rows of pips", "a mirrored portrait", "full of energy", "full of hope", "full of light",
    "that shines on all", "rising from the {thing}", "with a {thing} at the feet", "by the water", "among {word} hills",
    "pouring water into a pool", "and a {word} {thing}", "with long curled hair", "wrapped in a {word} cloak", "at dawn", "at dusk",
    "a {word} pair", "closing the jaws of a {thing}", "struck by {thing}", "falling from the top", "in the clouds", "with wings",
    "on a throne", "seated on a {word} throne", "with a sceptre", "with a {word} flag", "a person who is {word}", "very {word}",
    "the beginning of a journey", "the end of an age", "change and new life", "balance and truth", "love and choice", "inner light",
    "with a shield and a {thing}", "and its {word} tail", "with stars around", "swimming in opposite directions", "in profile",
    "aiming at the sky", "drawing a bow", "carrying a vessel", "holding an ear of wheat", "with a fish's tail", "with six legs",
    "with the sting raised", "with big pincers", "with a golden mane", "side by side", "hand in hand", "in perfect balance",
)  # fmt: skip

COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several", "many")
ELEMENTS = ("fire", "earth", "air", "water")
PEOPLE = (
    "man",
    "person",
    "figure",
    "traveller",
    "rider",
    "two figures",
    "man and a woman",
    "hand",
    "being",
    "monk",
)
DEEDS = (
    "speaks last", "never wins", "keeps the promise", "sleeps lightly", "wins the quarrel", "leaves at night", "knows the door",
    "carries the key", "counts worries", "smiles first", "forgives nothing", "judges by lamplight", "sings under the balcony",
    "listens until the truth feels safe", "rules with one open hand", "knows the price", "sells you the key to your own house",
    "waits for nobody", "laughs at the rules", "is always late", "keeps a secret", "loves the rain", "pays in kindness",
)  # fmt: skip
PREPOSITIONS = (
    "in", "on", "at", "of", "to", "with", "from", "over", "under", "between", "behind", "above", "below", "beside", "and", "into",
    "around", "through", "toward", "across", "her", "his", "its", "their", "the", "a", "like", "by", "for", "one",
)  # fmt: skip
SYLLABLES = (
    "ba", "co", "di", "fu", "ga", "he", "jo", "ka", "lin", "mor", "nu", "pel", "qua", "ris", "sto", "tur", "vi", "wen", "xa",
    "yo", "zel", "ton", "ber", "ska", "que", "ing", "est",
)  # fmt: skip
