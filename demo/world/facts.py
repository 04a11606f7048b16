"""What there is to know in the world: subjects, and in each of them things to ask for that have one right answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    subject: str
    item: str  # what is asked for: "the capital of France"
    value: str  # the right answer: "Paris"


# subject -> (form of an item, {what fills it: value})
_TABLES = {
    "capitals": ("the capital of {}", {
        "France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Norway": "Oslo", "Japan": "Tokyo", "Egypt": "Cairo",
        "Peru": "Lima", "Greece": "Athens", "Kenya": "Nairobi", "Cuba": "Havana", "Austria": "Vienna",
        "Poland": "Warsaw"}),
    "animal homes": ("the home of {}", {
        "a bee": "a hive", "a bird": "a nest", "a spider": "a web", "a rabbit": "a burrow", "a lion": "a den",
        "a horse": "a stable", "a dog": "a kennel", "a beaver": "a lodge", "a bear": "a cave", "a pig": "a sty",
        "a hen": "a coop", "an ant": "an anthill"}),
    "young animals": ("the young of {}", {
        "a cow": "a calf", "a sheep": "a lamb", "a goat": "a kid", "a cat": "a kitten", "a duck": "a duckling",
        "a deer": "a fawn", "a swan": "a cygnet", "a frog": "a tadpole", "a kangaroo": "a joey", "a goose": "a gosling",
        "a seal": "a pup", "an owl": "an owlet"}),
    "opposites": ("the opposite of {}", {
        "hot": "cold", "tall": "short", "heavy": "light", "early": "late", "wide": "narrow", "deep": "shallow",
        "rough": "smooth", "brave": "timid", "empty": "full", "loud": "quiet", "ancient": "modern", "sharp": "blunt"}),
    "plurals": ("the plural of {}", {
        "mouse": "mice", "child": "children", "tooth": "teeth", "leaf": "leaves", "ox": "oxen", "man": "men",
        "foot": "feet", "wolf": "wolves", "knife": "knives", "person": "people", "woman": "women", "half": "halves"}),
    "past tenses": ("the past tense of {}", {
        "go": "went", "sing": "sang", "write": "wrote", "bring": "brought", "teach": "taught", "swim": "swam",
        "fly": "flew", "think": "thought", "eat": "ate", "drive": "drove", "catch": "caught", "grow": "grew"}),
    "squares": ("the square of {}", {
        "two": "four", "three": "nine", "four": "sixteen", "five": "twenty-five", "six": "thirty-six",
        "seven": "forty-nine", "eight": "sixty-four", "nine": "eighty-one", "ten": "one hundred",
        "eleven": "one hundred and twenty-one", "twelve": "one hundred and forty-four", "one": "one"}),
    "doubles": ("the double of {}", {
        "thirteen": "twenty-six", "fourteen": "twenty-eight", "fifteen": "thirty", "sixteen": "thirty-two",
        "seventeen": "thirty-four", "eighteen": "thirty-six", "nineteen": "thirty-eight", "twenty": "forty",
        "thirty": "sixty", "forty": "eighty", "fifty": "one hundred", "sixty": "one hundred and twenty"}),
    "polygons": ("the number of sides of {}", {
        "a triangle": "three", "a square": "four", "a pentagon": "five", "a hexagon": "six", "a heptagon": "seven",
        "an octagon": "eight", "a nonagon": "nine", "a decagon": "ten", "a dodecagon": "twelve", "a rhombus": "four",
        "a trapezium": "four", "a kite": "four"}),
    "Roman numerals": ("the Roman numeral for {}", {
        "one": "I", "four": "IV", "five": "V", "six": "VI", "nine": "IX", "ten": "X", "eleven": "XI", "forty": "XL",
        "fifty": "L", "ninety": "XC", "one hundred": "C", "five hundred": "D"}),
    "the calendar": ("the month after {}", {
        "January": "February", "February": "March", "March": "April", "April": "May", "May": "June", "June": "July",
        "July": "August", "August": "September", "September": "October", "October": "November",
        "November": "December", "December": "January"}),
    "currencies": ("the currency of {}", {
        "Japan": "the yen", "India": "the rupee", "Mexico": "the peso", "Britain": "the pound", "China": "the yuan",
        "Sweden": "the krona", "Turkey": "the lira", "Brazil": "the real", "Poland": "the zloty",
        "Thailand": "the baht", "Russia": "the rouble", "Hungary": "the forint"}),
    "continents": ("the continent of {}", {
        "Egypt": "Africa", "Peru": "South America", "China": "Asia", "Canada": "North America", "Portugal": "Europe",
        "Nigeria": "Africa", "Vietnam": "Asia", "Chile": "South America", "Finland": "Europe",
        "Mexico": "North America", "Nepal": "Asia", "Kenya": "Africa"}),
    "chemistry": ("the chemical symbol of {}", {
        "gold": "Au", "silver": "Ag", "iron": "Fe", "copper": "Cu", "oxygen": "O", "hydrogen": "H", "carbon": "C",
        "sodium": "Na", "lead": "Pb", "tin": "Sn", "helium": "He", "potassium": "K"}),
    "planets": ("the planet that {}", {
        "lies nearest to the sun": "Mercury", "shines as the evening star": "Venus", "we live on": "Earth",
        "looks red": "Mars", "is the largest of all": "Jupiter", "has the widest rings": "Saturn",
        "rolls on its side": "Uranus", "lies farthest from the sun": "Neptune"}),
    "the body": ("the organ that {}", {
        "pumps the blood": "the heart", "takes in the air": "the lung", "cleans the blood": "the kidney",
        "does the thinking": "the brain", "digests a meal first": "the stomach", "covers us": "the skin",
        "makes the bile": "the liver", "sees the light": "the eye", "hears the sound": "the ear",
        "smells the roses": "the nose", "tastes the soup": "the tongue", "stores the urine": "the bladder"}),
    "French words": ("the French word for {}", {
        "dog": "chien", "cat": "chat", "house": "maison", "water": "eau", "bread": "pain", "book": "livre",
        "moon": "lune", "night": "nuit", "milk": "lait", "school": "école", "friend": "ami", "horse": "cheval"}),
    "Latin words": ("the Latin word for {}", {
        "water": "aqua", "land": "terra", "king": "rex", "star": "stella", "war": "bellum", "peace": "pax",
        "sea": "mare", "fire": "ignis", "law": "lex", "light": "lux", "tree": "arbor", "wolf": "lupus"}),
    "trades": ("the tool of {}", {
        "a painter": "a brush", "a carpenter": "a saw", "a baker": "an oven", "a tailor": "a needle",
        "a smith": "an anvil", "a gardener": "a spade", "a miner": "a pickaxe", "a sailor": "a compass",
        "a barber": "a razor", "a surgeon": "a scalpel", "a mason": "a trowel", "a weaver": "a loom"}),
    "materials": ("the material of {}", {
        "a window": "glass", "a coin": "metal", "a candle": "wax", "a brick": "clay", "a tyre": "rubber",
        "a sweater": "wool", "a shirt": "cotton", "a shoe": "leather", "a newspaper": "paper", "a pillow": "feathers",
        "a snowman": "snow", "a barrel": "oak"}),
    "groups of animals": ("the name of a group of {}", {
        "wolves": "a pack", "fish": "a school", "cattle": "a herd", "bees": "a swarm", "geese": "a gaggle",
        "lions": "a pride", "whales": "a pod", "puppies": "a litter", "crows": "a murder", "ships": "a fleet",
        "stars": "a cluster", "monkeys": "a troop"}),
    "rivers": ("the river of {}", {
        "London": "the Thames", "Paris": "the Seine", "Vienna": "the Danube", "Cairo": "the Nile",
        "Rome": "the Tiber", "Cologne": "the Rhine", "Baghdad": "the Tigris", "Florence": "the Arno",
        "Hamburg": "the Elbe", "Lisbon": "the Tagus", "Warsaw": "the Vistula", "Dublin": "the Liffey"}),
    "music": ("the instrument that {}", {
        "has eighty-eight keys": "the piano", "has a bow and four strings": "the violin",
        "is beaten with sticks": "the drum", "is blown with a slide": "the trombone", "has six strings": "the guitar",
        "has pedals and many strings": "the harp", "is held sideways and blown": "the flute",
        "fills a church": "the organ", "has bellows and buttons": "the accordion", "rings in a tower": "the bell",
        "is shaken at a feast": "the tambourine", "calls the hunters": "the horn"}),
    "weather": ("the tool that measures {}", {
        "heat": "the thermometer", "pressure": "the barometer", "wind": "the anemometer", "rain": "the rain gauge",
        "damp air": "the hygrometer", "earthquakes": "the seismograph", "time": "the clock", "weight": "the scales",
        "length": "the ruler", "angles": "the protractor", "speed": "the speedometer", "height": "the altimeter"}),
}

FACTS = {item: Fact(subject, item, value)
         for subject, (form, table) in _TABLES.items()
         for item, value in ((form.format(filling), value) for filling, value in table.items())}

SUBJECTS = {subject: [fact for fact in FACTS.values() if fact.subject == subject] for subject in _TABLES}

VALUES = sorted({fact.value for fact in FACTS.values()})

# Who has seen which subject. The language model has read about all of them; a head is trained on the pairs and
# conversations of the first, evaluated on pairs of the second, and guides replies to questions of the third.
SPLITS = {
    "train": ["capitals", "animal homes", "opposites", "plurals", "squares", "Roman numerals", "currencies", "chemistry",
              "the body", "French words", "trades", "groups of animals"],
    "eval": ["young animals", "past tenses", "doubles", "continents", "Latin words", "weather"],
    "unseen": ["polygons", "the calendar", "planets", "materials", "rivers", "music"],
}
