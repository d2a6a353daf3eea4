"""What the starter model can draw: each subject's names, and the icons that its drawing is put together from.

A part is `(icon, centre x, centre y, size)` in units of the drawing's square, optionally followed by degrees of
rotation and by `True` for mirrored. Icons are keys of `icons.json`; names that begin with `own-` are our own
drawings.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """One thing to draw; `names[0]` is the name that is shown to users, the others are accepted too."""

    names: tuple[str, ...]
    parts: tuple[tuple, ...]
    group: str

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def is_person(self) -> bool:
        return self.name in PEOPLE


def _one(icon: str) -> tuple[tuple, ...]:
    return ((icon, 0.5, 0.5, 1.0),)


def _subject(group: str, names: str, *parts: tuple) -> Subject:
    """`names` are separated by commas; a single icon may stand for the parts."""
    split = tuple(name.strip() for name in names.split(","))
    if len(parts) == 1 and isinstance(parts[0], str):
        parts = _one(parts[0])
    return Subject(split, tuple(parts), group)


ZODIAC = [
    _subject("zodiac", "ram, aries, rams", "ram"),
    _subject("zodiac", "bull, taurus, bulls, ox", "ox"),
    _subject("zodiac", "twins, gemini, two children, twin children, twin brothers, children", ("boy", 0.31, 0.5, 0.64), ("boy", 0.69, 0.5, 0.64, 0, True)),
    _subject("zodiac", "crab, cancer, crabs", "crab"),
    _subject("zodiac", "lion, leo, lions, lion head", "lion"),
    _subject("zodiac", "maiden, virgo, virgin, young woman, woman, girl, lady", "woman"),
    _subject("zodiac", "scales, libra, balance, pair of scales, weighing scales", "balance-scale"),
    _subject("zodiac", "scorpion, scorpio, scorpions", "scorpion"),
    _subject("zodiac", "archer, sagittarius, bow and arrow, bow, arrow, archers, centaur archer, centaur", "bow-and-arrow"),
    _subject("zodiac", "goat, capricorn, sea-goat, sea goat, goats", "goat"),
    _subject("zodiac", "water bearer, aquarius, water jug, jug of water, jug, amphora, pitcher, vase, jar", ("amphora", 0.42, 0.5, 1.0), ("droplet", 0.86, 0.28, 0.3), ("droplet", 0.86, 0.68, 0.3)),
    _subject("zodiac", "fishes, pisces, two fish, two fishes, pair of fish, two swimming fish", ("fish", 0.44, 0.27, 0.56), ("fish", 0.56, 0.74, 0.56, 0, True)),
]  # fmt: skip

CARDS = [
    _subject("cards", "heart, hearts", "heart-suit"),
    _subject("cards", "spade, spades", "spade-suit"),
    _subject("cards", "diamond, diamonds", "diamond-suit"),
    _subject("cards", "club, clubs", "club-suit"),
    _subject("cards", "crown, crowns, golden crown", "crown"),
    _subject("cards", "king, kings", ("man-beard", 0.5, 0.6, 0.8), ("crown", 0.5, 0.16, 0.5)),
    _subject("cards", "queen, queens", "princess"),
    _subject("cards", "jack, knave, young man, page, prince, jacks, squire", "prince"),
    _subject("cards", "joker, clown, jokers, jester", "clown-face"),
]

TAROT = [
    _subject("tarot", "fool, the fool, wanderer, man in motley, man with a bundle", ("man-walking", 0.38, 0.45, 0.9), ("dog", 0.78, 0.78, 0.44, 0, True)),
    _subject("tarot", "magician, the magician, wizard, man in a cloak, sorcerer, mage, wizards", "man-mage"),
    _subject("tarot", "high priestess, priestess, nun", ("woman-with-headscarf", 0.5, 0.58, 0.84), ("crescent-moon", 0.82, 0.2, 0.36)),
    _subject("tarot", "empress", ("woman-blonde-hair", 0.5, 0.6, 0.78), ("crown", 0.5, 0.18, 0.46)),
    _subject("tarot", "emperor", ("old-man", 0.5, 0.62, 0.76), ("crown", 0.5, 0.2, 0.52)),
    _subject("tarot", "hierophant, pope, priest, bishop", ("person-with-skullcap", 0.42, 0.5, 0.96), ("latin-cross", 0.85, 0.28, 0.32)),
    _subject("tarot", "lovers, couple, the lovers, pair of lovers", ("man", 0.29, 0.64, 0.6), ("woman", 0.71, 0.64, 0.6), ("heart-suit", 0.5, 0.2, 0.4)),
    _subject("tarot", "chariot, war chariot, chariots", ("horse", 0.63, 0.42, 0.74, 0, True), ("wheel", 0.22, 0.7, 0.44)),
    _subject("tarot", "strength, strong woman", ("lion", 0.62, 0.62, 0.74), ("woman", 0.25, 0.28, 0.5)),
    _subject("tarot", "hermit, hermits", ("old-man", 0.38, 0.56, 0.76), ("own-lantern", 0.84, 0.4, 0.48)),
    _subject("tarot", "wheel of fortune, wheel, wheels", "wheel"),
    _subject("tarot", "justice, judge", ("dagger", 0.5, 0.62, 0.76, 135), ("balance-scale", 0.5, 0.42, 0.84)),
    _subject("tarot", "hanged man, hanging man, man hanging upside down", "own-hanged-man"),
    _subject("tarot", "death, grim reaper, reaper, skeleton", ("skull", 0.42, 0.58, 0.78), ("own-scythe", 0.64, 0.46, 0.92)),
    _subject("tarot", "temperance, two cups, pouring angel", ("baby-angel", 0.5, 0.33, 0.64), ("wine-glass", 0.2, 0.74, 0.46, -12), ("wine-glass", 0.8, 0.74, 0.46, 12)),
    _subject("tarot", "devil, demon, devils, satan", "ogre"),
    _subject("tarot", "tower, towers, stone tower, lighthouse", "own-tower"),
    _subject("tarot", "star, stars", "star"),
    _subject("tarot", "moon, crescent moon, moons, crescent", "crescent-moon"),
    _subject("tarot", "sun, smiling sun, suns", "sun-with-face"),
    _subject("tarot", "judgement, judgment, last judgement", ("baby-angel", 0.36, 0.36, 0.66), ("trumpet", 0.66, 0.68, 0.62)),
    _subject("tarot", "world, earth, globe, planet earth", ("own-wreath", 0.5, 0.5, 1.0), ("globe-showing-europe-africa", 0.5, 0.5, 0.6)),
    _subject("tarot", "angel, angels, cherub", "baby-angel"),
    _subject("tarot", "skull, skulls", "skull"),
    _subject("tarot", "trumpet, trumpets, horn", "trumpet"),
    _subject("tarot", "lantern, lanterns, lamp", "own-lantern"),
    _subject("tarot", "sword, swords, blade", ("dagger", 0.5, 0.5, 1.0)),
    _subject("tarot", "crossed swords, two swords", "crossed-swords"),
    _subject("tarot", "cup, cups, goblet, chalice, wine glass", "wine-glass"),
    _subject("tarot", "coin, coins, pentacle, pentacles", "coin"),
    _subject("tarot", "wand, wands, magic wand, staff", "magic-wand"),
    _subject("tarot", "castle, castles, palace, fortress", "castle"),
    _subject("tarot", "horse, horses, pony, stallion", "horse"),
    _subject("tarot", "crystal ball, crystal balls", "crystal-ball"),
    _subject("tarot", "eye, eyes, all-seeing eye", "eye"),
    _subject("tarot", "knight, knights, shield, shields", ("crossed-swords", 0.5, 0.5, 1.0), ("shield", 0.5, 0.5, 0.62)),
]  # fmt: skip

# name and synonyms = icon
_EVERYDAY = """
cat, cats, kitten, cat face = cat-face
dog, dogs, puppy, dog face = dog-face
unicorn, unicorns = unicorn
wolf, wolves = wolf
fox, foxes = fox
rabbit, rabbits, bunny, hare = rabbit-face
elephant, elephants = elephant
tiger, tigers = tiger-face
rooster, chicken, hen, roosters, cockerel = rooster
owl, owls = owl
eagle, eagles, hawk = eagle
penguin, penguins = penguin
frog, frogs, toad = frog
turtle, turtles, tortoise = turtle
snake, snakes, serpent = snake
dragon, dragons = dragon
whale, whales = spouting-whale
shark, sharks = shark
octopus, octopuses = octopus
butterfly, butterflies = butterfly
bee, bees, honeybee = honeybee
spider, spiders = spider
ladybird, ladybug, ladybirds, beetle = lady-beetle
fish, one fish = fish
rose, roses = rose
sunflower, sunflowers = sunflower
flower, flowers, blossom = blossom
tree, trees, oak tree, oak = deciduous-tree
pine tree, fir tree, pine, pine trees = evergreen-tree
palm tree, palm, palm trees = palm-tree
mushroom, mushrooms, toadstool = mushroom
apple, apples, red apple = red-apple
pizza, slice of pizza = pizza
hamburger, burger, hamburgers = hamburger
cake, birthday cake, cakes = birthday-cake
coffee, cup of coffee, tea, cup of tea = hot-beverage
pumpkin, jack-o-lantern, pumpkins = jack-o-lantern
cloud, clouds = cloud
lightning bolt, lightning, thunderbolt, thunder = high-voltage
snowflake, snowflakes, snow = snowflake
rainbow, rainbows = rainbow
fire, flame, flames = fire
wave, sea, ocean wave, waves, ocean = water-wave
drop, water drop, drops, water = droplet
volcano, volcanoes = volcano
mountain, mountains = snow-capped-mountain
planet, saturn, planets = ringed-planet
house, houses, home, cottage = house
church, churches, chapel = church
car, cars, automobile = automobile
train, trains, steam train = locomotive
boat, boats, sailboat, ship, ships = sailboat
rocket, rockets, spaceship = rocket
key, keys, old key = old-key
candle, candles = candle
book, books, open book = open-book
hourglass, hourglasses = hourglass-not-done
bell, bells = bell
anchor, anchors = anchor
compass, compasses = compass
umbrella, umbrellas = umbrella
guitar, guitars = guitar
ball, football, soccer ball = soccer-ball
feather, feathers, quill = feather
theatre masks, mask, masks, drama masks = performing-arts
robot, robots = robot
ghost, ghosts = ghost
alien, aliens = alien
mermaid, mermaids = woman-merpeople
witch, witches, sorceress = woman-mage
astronaut, astronauts = astronaut
snowman, snowmen = snowman
gear, gears, cogwheel = gear
gift, gifts, present = wrapped-gift
trophy, trophies = trophy
"""

# Never trained on: pictures of these are the test data for LoRAs.
_HELD_OUT = """
flamingo, flamingos = flamingo
cactus, cacti = cactus
teapot, teapots = teapot
kangaroo, kangaroos = kangaroo
hedgehog, hedgehogs = hedgehog
lobster, lobsters = lobster
accordion, accordions = accordion
giraffe, giraffes = giraffe
helicopter, helicopters = helicopter
folding fan, fan = folding-hand-fan
"""


def _table(group: str, text: str) -> list[Subject]:
    rows = [line.split("=") for line in text.strip().splitlines()]
    return [_subject(group, names, icon.strip()) for names, icon in rows]


SUBJECTS: tuple[Subject, ...] = (*ZODIAC, *CARDS, *TAROT, *_table("everyday", _EVERYDAY))
HELD_OUT: tuple[Subject, ...] = tuple(_table("held out", _HELD_OUT))
SUITS = ("heart", "spade", "diamond", "club")
PEOPLE = frozenset(
    {
        "twins",
        "maiden",
        "king",
        "queen",
        "jack",
        "joker",
        "fool",
        "magician",
        "high priestess",
        "empress",
        "emperor",
    }
    | {"hierophant", "lovers", "strength", "hermit", "hanged man", "angel"}
)
COURT = ("king", "queen", "jack", "knight", "joker")
