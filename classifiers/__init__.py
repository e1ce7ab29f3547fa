"""R.E.D., recursive expert delegation: text classification with many labels and few examples of each.

Strings and arrays in, arrays and small dataclasses out: no Django, no database, no files, no settings.

    from classifiers.embeddings import SentenceEncoder
    from classifiers.red_classifier import RedClassifier

    texts = ["My card was stolen", "I lost my card", "Where is my refund?", "The refund never came"]
    labels = ["lost card", "lost card", "refund", "refund"]
    names = sorted(set(labels))

    encoder = SentenceEncoder()
    model = RedClassifier(subset_size=10, random_state=0)
    model.fit(encoder.encode(texts), [names.index(label) for label in labels])

    new = ["somebody took my card", "still waiting for my money back"]
    candidates = model.candidates(encoder.encode(new), k=2)
    for text, code, probability in zip(new, candidates.labels[:, 0], candidates.probabilities[:, 0]):
        print(f"{names[code]} {probability:.2f}  {text}")
"""
