"""Questions as people ask them, of four kinds. "fact" questions have a short answer; the others want some sentences."""

FACTS = """What is the capital of Portugal?
Who painted the Mona Lisa?
How many legs does a spider have?
What is the largest planet of the solar system?
In which year did the Second World War end?
What is the chemical symbol of gold?
Who wrote Romeo and Juliet?
What is the longest river in South America?
How many minutes are in a day?
What language do people speak in Brazil?
Which animal is the tallest on land?
What is the boiling point of water in Celsius?
Who was the first person on the Moon?
What colour do you get from blue and yellow?
Which ocean is between Europe and America?
How many strings does a violin have?
What is the currency of Japan?
Which country has the city of Cairo?
What do bees make?
What is the square root of 81?
Who invented the telephone?
Which metal is liquid at room temperature?
What is the highest mountain on Earth?
How many players does a football team have on the field?
What is the opposite of cold?
Which gas do plants take from the air?
What is the capital of Canada?
How many days does a leap year have?
Which planet is known for its rings?
What is the main ingredient of bread?
Who was the first president of the United States?
What is the smallest prime number?
Which continent is the Sahara on?
What is a baby cat called?
How many continents are there?
Which organ pumps blood through the body?
What is the freezing point of water in Fahrenheit?
Who discovered penicillin?
Which bird is a symbol of peace?
What is the fastest land animal?""".splitlines()

HOW_TO = """How do I bake bread at home?
How can I fall asleep faster?
How do I start a vegetable garden?
How should I prepare for a job interview?
How do I clean a cast iron pan?
How can I save money on groceries?
How do I train a puppy to sit?
How do I write a thank-you letter?
How can I learn to play the guitar?
How do I change a bicycle tyre?
How should I plan a birthday party?
How do I make a good cup of coffee?
How can I remember names better?
How do I remove a wine stain?
How should I pack for a week of travel?
How do I grow tomatoes on a balcony?
How can I run my first five kilometres?
How do I choose a password that is safe?
How should I talk to a friend who is sad?
How do I take better photos with my phone?
How can I keep my house plants alive?
How do I cook rice without burning it?
How should I study for an exam?
How do I get used to a new city?
How can I read more books?
How do I fix a dripping tap?
How should I feed a cat?
How do I make a budget for a month?
How can I speak in front of people without fear?
How do I sharpen a kitchen knife?
How should I store fresh herbs?
How do I make new friends as an adult?
How can I use less water at home?
How do I build a simple bookshelf?
How should I care for leather shoes?
How do I stop putting things off?
How can I improve my handwriting?
How do I choose a good pillow?
How should I start learning to swim?
How do I keep bread fresh?""".splitlines()

EXPLAIN = """Why is the sky blue?
Explain how a refrigerator works.
Why do leaves change colour in autumn?
What is inflation?
Explain how vaccines protect us.
Why do we dream?
What is a black hole?
Explain how rainbows form.
Why does the moon have phases?
What is photosynthesis?
Explain how a bill becomes a law.
Why do cats purr?
What is machine learning?
Explain how tides work.
Why do volcanoes erupt?
What is democracy?
Explain how the heart works.
Why does ice float on water?
What is an ecosystem?
Explain how aeroplanes fly.
Why do people yawn?
What is gravity?
Explain how batteries store energy.
Why did the dinosaurs die out?
What is the water cycle?
Explain how the internet works.
Why is exercise healthy?
What is supply and demand?
Explain how earthquakes happen.
Why do onions make us cry?
What is the immune system?
Explain how solar panels work.
Why are bees important?
What is a computer virus?
Explain how bread rises.
Why do we have seasons?
What is compound interest?
Explain how sound travels.
Why does metal rust?
What is evolution?""".splitlines()

ADVICE = """Is it better to rent or to buy a home?
What should I cook for dinner with friends?
Should I learn Spanish or French?
What makes a good teacher?
Is it worth learning to code?
What is a good gift for a ten-year-old?
Should children have mobile phones?
What is the best way to spend a rainy Sunday?
Is coffee good or bad for me?
What should I see in Rome in two days?
Should I get a dog or a cat?
What makes a city pleasant to live in?
Is working from home a good idea?
What should a beginner paint first?
Should I keep a diary?
What is a good first houseplant?
Is it better to shower in the morning or at night?
What should I do when I am bored?
Should schools have uniforms?
What makes a friendship last?
Is it healthy to skip breakfast?
What sport is good for a shy child?
Should I buy a used car?
What should I bring to a picnic?
Is social media good for us?
What makes a story exciting?
Should I study alone or in a group?
What is a good hobby for winter?
Is it better to travel by train or by plane?
What should I ask before I adopt a pet?
Should I exercise in the morning or in the evening?
What makes a good leader?
Is it a good idea to live with friends?
What should I write in a cover letter?
Should I learn an instrument as an adult?
What is a good breakfast before a long walk?
Is it worth visiting museums?
What should I do on my first day at work?
Should I use cash or cards?
What makes a home cosy?""".splitlines()

KINDS = {"fact": FACTS, "how-to": HOW_TO, "explain": EXPLAIN, "advice": ADVICE}
