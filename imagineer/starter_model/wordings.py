"""The forms in which prompts tell a colour, a background and a style, and the sentences around them; weights are by feel.

`{c}` is a colour, `{s}` a style, `{n}` the noun with its article.
"""

# What people put before a colour that stays that colour.
SHADES = (
    "bright", "deep", "pale", "dark", "light", "vivid", "rich", "solid", "pure", "plain", "warm", "intense",
)  # fmt: skip

COLOUR_BEFORE = {"{c}": 14.0, "{c}-coloured": 0.8, "{c} coloured": 0.6, "{c}-colored": 0.4}

# Behind the noun, the article before it.
COLOUR_AFTER = {
    "in {c}": 2.0, "coloured {c}": 1.0, "colored {c}": 0.4, "painted {c}": 1.0, "that is {c}": 1.0, "which is {c}": 0.5,
    "of {c} colour": 0.5, "in the colour {c}": 0.5, "all in {c}": 0.5, "all {c}": 0.3, "dyed {c}": 0.2, "drawn in {c}": 0.2,
    "in {c} colour": 0.4, "made of {c}": 0.1, "({c})": 0.4, "with {c} colour": 0.3, "with a {c} colour": 0.2, "tinted {c}": 0.2,
}  # fmt: skip

# A remark of its own, wherever it stands.
COLOUR_TAGS = {
    "it is {c}": 0.6, "make it {c}": 0.8, "the {n} is {c}": 1.0, "the {n} should be {c}": 0.6, "the {n} in {c}": 0.5,
    "colour: {c}": 0.6, "color: {c}": 0.3, "colour {c}": 0.3, "coloured {c}": 0.5, "in {c}": 0.3, "itself {c}": 0.3,
    "{c} {n}": 0.4, "paint it {c}": 0.3, "its colour is {c}": 0.4,
}  # fmt: skip

# Backgrounds right behind the noun.
BACKGROUND_AFTER = {
    "on a {c} background": 14.0, "on {c}": 3.0, "against a {c} backdrop": 1.5, "against {c}": 1.0, "against a {c} background": 0.7,
    "with a {c} background": 1.5, "with {c} background": 0.5, "with {c} as the background": 0.6, "in front of a {c} wall": 0.7,
    "in front of {c}": 0.7, "in front of a {c} background": 0.4, "before {c}": 0.3, "before a {c} backdrop": 0.3, "upon {c}": 0.5,
    "set on {c}": 0.5, "set against {c}": 0.7, "over {c}": 1.5, "over a {c} background": 0.5, "amid {c}": 0.8, "amidst {c}": 0.3,
    "surrounded by {c}": 1.2, "with {c} all around": 1.2, "with {c} around it": 0.7, "with {c} around": 0.3, "and {c} all around": 0.3,
    "with {c} behind it": 1.2, "with {c} behind": 0.7, "and {c} behind it": 0.3, "on {c} paper": 1.0, "on a {c} board": 0.4,
    "on a {c} sheet": 0.3, "on a {c} ground": 0.5, "on a {c} field": 0.3, "on a {c} canvas": 0.4, "on a {c} card": 0.4,
    "in a {c} setting": 0.8, "in a {c} scene": 0.7, "in a {c} room": 0.5, "in {c} surroundings": 0.5, "in a {c} place": 0.4,
    "in a {c} landscape": 0.3, "under a {c} sky": 1.0, "beneath a {c} sky": 0.4, "in a {c} sky": 0.3, "placed on {c}": 0.4,
    "standing on {c}": 0.3, "with a backdrop of {c}": 0.5, "with a {c} backdrop": 0.6, "on a background of {c}": 0.4,
    "within {c}": 0.2, "floating in {c}": 0.3, "framed by {c}": 0.3, "on top of {c}": 0.2, "with a {c} sky": 0.4, "on a {c} wall": 0.3,
    "with {c} surroundings": 0.3, "where everything around is {c}": 0.2, "whose background is {c}": 0.3, "on a {c} surface": 0.3,
    "with everything else in {c}": 0.3, "with a {c} wall behind it": 0.3, "on a {c} backdrop": 0.4, "on a {c} floor": 0.2,
    "with {c} in the background": 0.5, "with {c} all over the background": 0.1, "enclosed by {c}": 0.2, "with {c} everywhere": 0.2,
}  # fmt: skip

# Backgrounds as a remark of their own.
BACKGROUND_TAGS = {
    "{c} background": 6.0, "{c} backdrop": 1.0, "background: {c}": 1.0, "background {c}": 0.4, "background in {c}": 0.6,
    "the background is {c}": 1.0, "background is {c}": 0.4, "the backdrop is {c}": 0.7, "the background in {c}": 0.3,
    "backdrop: {c}": 0.4, "backdrop of {c}": 0.8, "a backdrop of {c}": 0.3, "a background of {c}": 0.3, "{c} surroundings": 0.6,
    "{c} ground": 0.4, "{c} setting": 0.8, "{c} scene": 0.6, "{c} sky": 0.7, "a {c} sky": 0.5, "the sky is {c}": 0.4,
    "{c} behind it": 1.2, "{c} behind": 0.7, "behind it {c}": 0.4, "behind it is {c}": 0.3, "behind it all {c}": 0.2,
    "{c} all around": 1.2, "{c} around it": 0.6, "all around it {c}": 0.3, "{c} everywhere around": 0.2, "around it {c}": 0.2,
    "everything else {c}": 0.4, "everything else is {c}": 0.4, "everything around it is {c}": 0.3, "all else {c}": 0.2,
    "the rest {c}": 0.3, "the rest is {c}": 0.4, "the rest in {c}": 0.2, "make the background {c}": 0.5, "{c} paper": 0.5,
    "{c} canvas": 0.3, "{c} wall": 0.4, "{c} walls": 0.2, "{c} room": 0.3, "{c} environment": 0.3, "{c} landscape": 0.3,
    "surroundings in {c}": 0.3, "surrounded by {c}": 0.6, "the surroundings are {c}": 0.2, "set on {c}": 0.2, "over {c}": 0.4,
    "the wall behind it is {c}": 0.2, "on {c}": 0.5, "against {c}": 0.4, "amid {c}": 0.3, "{c} in the background": 0.6,
    "bg: {c}": 0.2, "{c} bg": 0.2, "{c} board": 0.2, "a {c} background": 0.8, "a {c} setting": 0.2, "{c} colour behind": 0.2,
}  # fmt: skip

# Backgrounds before the noun.
BACKGROUND_AROUND = {
    "{c} scene with {n}": 1.0, "a {c} scene with {n}": 1.0, "{c} scene featuring {n}": 0.7, "a {c} scene featuring {n}": 0.4,
    "a {c} scene showing {n}": 0.4, "{c} scene: {n}": 0.3, "{c} background, {n}": 1.0, "{c} background with {n}": 1.0,
    "a {c} background with {n} on it": 0.5, "{c} setting with {n}": 0.5, "a {c} setting and {n}": 0.3, "on a {c} background, {n}": 1.0,
    "on a {c} background {n}": 0.3, "on {c}, {n}": 0.5, "on {c}: {n}": 0.3, "{c} backdrop with {n}": 0.4, "{c} backdrop, {n}": 0.4,
    "a {c} sky behind {n}": 0.5, "{c} sky and {n}": 0.3, "{c} card with {n}": 0.4, "a {c} card with {n}": 0.3, "a {c} board with {n}": 0.3,
    "a {c} room with {n}": 0.4, "{c} surrounding {n}": 0.4, "{c} around {n}": 0.5, "{c} all around {n}": 0.5, "{c} behind {n}": 0.7,
    "against {c}, {n}": 0.4, "against a {c} background, {n}": 0.3, "over {c}, {n}": 0.4, "over {c} {n}": 0.2, "{c} poster of {n}": 0.2,
    "in a {c} place, {n}": 0.3, "in a {c} setting, {n}": 0.3, "under a {c} sky, {n}": 0.4, "{c} wall behind {n}": 0.3,
    "{c} paper with {n}": 0.4, "background {c}, {n}": 0.3, "background: {c}; {n}": 0.3, "{c} canvas with {n}": 0.3,
    "{c} surroundings, {n}": 0.3, "surrounded by {c}, {n}": 0.3, "{c} landscape with {n}": 0.2, "amid {c}, {n}": 0.2,
}  # fmt: skip

# Styles right behind what they belong to.
STYLE_AFTER = {
    "in {s} style": 4.0, "in the style of {s}": 0.8, "done in {s}": 0.5, "done as {s}": 0.9, "rendered in {s}": 0.9,
    "rendered as {s}": 0.7, "in the manner of {s}": 0.7, "in a {s} manner": 0.3, "with a {s} look": 0.6, "in {s}": 1.0, "as {s}": 1.0,
    "as a {s}": 0.4, "made as {s}": 0.4, "drawn as {s}": 0.5, "drawn in {s}": 0.4, "drawn in {s} style": 0.4, "in a {s} style": 0.6,
    "painted as {s}": 0.2, "like {s}": 0.4, "like a {s}": 0.2, "as {s} art": 0.4, "as {s} artwork": 0.3, "({s})": 0.4,
    "with {s} style": 0.4, "using {s}": 0.2, "in {s} look": 0.2, "as if {s}": 0.1, "with a {s} effect": 0.2, "looking {s}": 0.2,
    "as a {s} picture": 0.2, "as a {s} drawing": 0.3, "executed in {s}": 0.2, "in {s} fashion": 0.2, "in {s} technique": 0.2,
}  # fmt: skip

STYLE_TAGS = {
    "{s} style": 9.0, "{s}": 5.0, "{s} look": 0.9, "think {s}": 0.9, "{s} art": 0.7, "{s} artwork": 0.5, "{s} rendering": 0.8,
    "{s} rendition": 0.2, "{s} version": 0.3, "{s} design": 0.4, "{s} effect": 0.3, "{s} aesthetic": 0.3, "style: {s}": 0.8,
    "art style: {s}": 1.0, "style of {s}": 0.3, "the style is {s}": 0.5, "style {s}": 0.2, "it should look like {s}": 0.2,
    "make it {s}": 0.3, "make it look {s}": 0.2, "{s} illustration": 0.4, "{s} drawing": 0.4, "{s} picture": 0.2, "a {s} piece": 0.2,
    "done as {s}": 0.5, "rendered as {s}": 0.3, "in {s} style": 0.6, "all in {s} style": 0.2, "something {s}": 0.2, "{s} please": 0.2,
    "very {s}": 0.2, "{s} vibes": 0.2, "{s} technique": 0.2, "medium: {s}": 0.2, "a {s} look": 0.3,
}  # fmt: skip

STYLE_AROUND = {
    "{s} of {n}": 1.0, "{s} drawing of {n}": 1.0, "{s} style {n}": 1.0, "{s} artwork of {n}": 0.7, "{s} artwork: {n}": 0.5,
    "a {s} picture of {n}": 0.8, "{s} picture of {n}": 0.5, "{s} rendering of {n}": 0.7, "a {s} rendering of {n}": 0.3,
    "{s} illustration of {n}": 0.7, "{s} illustration: {n}": 0.3, "in {s} style, {n}": 0.8, "in {s} style: {n}": 0.3, "{s} art: {n}": 0.4,
    "{s} art of {n}": 0.4, "{s}: {n}": 0.8, "{s}, {n}": 1.0, "in {s}, {n}": 0.3, "{s} design of {n}": 0.3, "{s} version of {n}": 0.3,
    "{s} style. {n}": 0.4, "{s} style: {n}": 0.4, "style: {s}. {n}": 0.3, "{s} image of {n}": 0.3, "{s} look: {n}": 0.2,
    "as {s}: {n}": 0.2, "{s} card with {n}": 0.3, "{s} depiction of {n}": 0.2, "{s} {n}": 1.0, "{s} portrait of {n}": 0.3,
    "{s} image: {n}": 0.2, "art style: {s}. {n}": 0.6, "{s} poster of {n}": 0.2,
}  # fmt: skip

# Sentences around everything; most prompts have none.
OPENINGS = (
    "a picture of", "an illustration of", "drawing of", "a drawing of", "a portrait of", "an image of", "image of", "picture of",
    "please draw", "please draw me", "draw", "draw me", "draw us", "show", "show me", "please show", "I would like", "I would love",
    "I'd like", "I want", "I want to see", "give me", "please give me", "make", "make me", "please make", "paint", "paint me",
    "please paint", "can you draw", "could you draw", "could you make", "can you make me", "I need", "we need", "create", "generate",
    "produce", "let me see", "may I have", "there is", "imagine", "design", "here is", "a card with", "a card showing", "a depiction of",
    "illustrate", "render", "this is", "depict", "featuring", "a scene with", "artwork of", "the image shows", "how about", "what about",
    "my favourite:", "we see", "look at", "a nice", "try", "do", "would you draw", "hello, draw", "a photo of", "close-up of",
)  # fmt: skip
CLOSINGS = (
    " please", ", please", ", thanks", "!", ".", ".", "?", " for me", ", thank you", " for my friend", "...", "!!",
)  # fmt: skip
SEPARATORS = {
    ", ": 12.0, ". ": 1.2, "; ": 1.0, " - ": 1.0, " – ": 0.4, ": ": 0.3, "! ": 0.6, " / ": 0.2, " | ": 0.2, " ": 0.8,
}  # fmt: skip
DETERMINERS = (
    "the", "the", "one", "some", "this", "my", "a single", "just one", "our", "exactly one", "just a",
)  # fmt: skip
