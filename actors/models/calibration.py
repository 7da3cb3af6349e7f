"""The texts by which a model in 8-bit integers learns how far its numbers reach. None of them is a text of the quality gate."""

SCHEME = 4
"""Part of what vectors and scores in int8 depend on: raise it when scales are found otherwise, when what lies between the maps is
computed otherwise, or when a text below changes."""

QUESTIONS = (
    "How do vaccines protect against influenza?",
    "what is the boiling point of water at high altitude",
    "When was the suspension bridge opened to traffic?",
    "best running shoes for flat feet",
    "Ist eine mündliche Kündigung des Mietvertrags wirksam?",
    "how to read a csv file line by line in python",
    "为什么天空是蓝色的",
    "Which genes are associated with resistance to the antibiotic?",
    "interest rate decision effect on bond prices",
    "¿Quién escribió la primera novela moderna?",
)
ANSWERS = (
    "Influenza vaccines expose the immune system to surface proteins of the virus, so that antibodies and memory cells are ready before an "
    "infection. Because these proteins change from season to season, the vaccine is reformulated every year; in years of a good match it "
    "prevents about half of the visits to a doctor. BACKGROUND: protection wanes within six months. METHODS: we followed 4,212 adults. "
    "RESULTS: the adjusted odds ratio was 0.54 (95% CI 0.45-0.66). CONCLUSION: vaccination before winter remains the best prevention.",
    "At 3,000 m the pressure of the air is about 70 kPa, and water boils at roughly 90 °C instead of 100 °C; food takes longer to cook.",
    "The bridge, 1,280 m between its towers, was opened on 27 May 1937 after four years of work. Eleven men had died while it was built, "
    "ten of them in one accident; nineteen others were saved by the net beneath the deck, the first of its kind.",
    "Great shoes!! Bought them in size 10.5 (wide) for my flat feet, ran 200 miles, no pain... Would buy again :-) 5/5 http://example.com",
    "Die Kündigung eines Mietverhältnisses bedarf der schriftlichen Form (§ 568 Abs. 1 BGB). Eine mündliche Erklärung ist nichtig.",
    "import csv\nwith open('items.csv', newline='') as file:\n    for row in csv.reader(file):\n        print(', '.join(row))",
    "天空呈现蓝色是因为大气分子对短波长的光散射更强 这种现象称为瑞利散射。日落时光线穿过更厚的大气层 所以呈现红色。",
    "Whole-genome sequencing of 318 isolates of Escherichia coli showed that point mutations in gyrA and parC, and the plasmid-borne gene "
    "blaCTX-M-15, account for most of the resistance to fluoroquinolones and cephalosporins. Expression of the efflux pump AcrAB-TolC was "
    "raised in 41 isolates without such a mutation (Fig. 3b; Table S2), which suggests a regulatory mechanism.",
    "The central bank raised its key rate by 25 basis points to 4.50 %, as expected; two-year yields rose to 4.71 %, shares fell 1.3 %.",
    "Miguel de Cervantes publicó la primera parte de Don Quijote de la Mancha en 1605; la segunda apareció en 1615. Мой дядя самых честных "
    "правил. ありがとうございます。 السلام عليكم 1234567890 the the the ###",
)
"""A passage to each question: science, law, code, commerce and several scripts, short and long."""
