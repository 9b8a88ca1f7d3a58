"""Small data sets of our own text: the rows as the hub has them, and the files of each set's own distribution."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

ROWS = 12
THINGS = [
    "a red kite",
    "the old bridge",
    "two loaves of bread",
    "a pot of honey",
    "the north wind",
    "my neighbour's boat",
    "snow",
]
DEEDS = [
    "crosses the river",
    "is heavier than it looks",
    "was sold at the market",
    "keeps us warm",
    "melts in March",
    "sings",
]
CHINESE = ["河边的石桥", "两只白鹅", "村里的老钟", "春天的雨", "一碗热汤", "北风"]
LETTERS = "ABCD"


@dataclass(frozen=True)
class OwnSet:
    """``hub`` makes the rows of a split from a seed; ``write`` puts {split: rows} into a folder as their owner does."""

    hub: Callable[[random.Random], Rows]
    write: Callable[[Path, Mapping[str, Rows]], None]
    splits: tuple[str, ...]


def own_rows(name: str) -> dict[str, Rows]:
    """The rows of every split of a set, always the same ones."""
    return {split: OWN[name].hub(random.Random(f"{name} {split}")) for split in OWN[name].splits}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], *, header: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        if header:
            table.writeheader()
        table.writerows(rows)
    return path


def said(pick: random.Random) -> str:
    return f"{pick.choice(THINGS)} {pick.choice(DEEDS)} and {pick.choice(THINGS)} {pick.choice(DEEDS)}"


def several(pick: random.Random, n: int) -> list[str]:
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[said(pick)] = None
    return list(texts)


def in_chinese(pick: random.Random) -> str:
    return "".join(pick.sample(CHINESE, 3))


def made(row: Callable[[random.Random, int], dict[str, Any]]) -> Callable[[random.Random], Rows]:
    return lambda pick: [row(pick, number) for number in range(ROWS)]


def without(row: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in fields}


def _arc(pick: random.Random, number: int) -> dict[str, Any]:
    labels = list("1234" if number % 3 == 0 else LETTERS)
    choices = {"text": several(pick, 4), "label": labels}
    return {"id": f"q{number}", "question": f"{said(pick)}?", "choices": choices, "answerKey": pick.choice(labels)}


def _as_stem(row: Mapping[str, Any], question: str) -> dict[str, Any]:
    pairs = zip(row["choices"]["text"], row["choices"]["label"], strict=True)
    choices = [{"text": text, "label": label} for text, label in pairs]
    return {"id": row["id"], "question": {"stem": row[question], "choices": choices}, "answerKey": row["answerKey"]}


def _write_arc(folder: Path, splits: Mapping[str, Rows]) -> None:
    for split, rows in splits.items():
        home = folder / "ARC-V1-Feb2018-2" / "ARC-Easy"
        write_jsonl(home / f"ARC-Easy-{split.capitalize()}.jsonl", [_as_stem(row, "question") for row in rows])
        write_csv(
            home / f"ARC-Easy-{split.capitalize()}.csv", [{"question": f"{row['question']} (A) ..."} for row in rows]
        )


def _open_book(pick: random.Random, number: int) -> dict[str, Any]:
    choices = {"text": several(pick, 4), "label": list(LETTERS)}
    return {"id": f"7-{number}", "question_stem": said(pick), "choices": choices, "answerKey": pick.choice(LETTERS)}


def _write_open_book(folder: Path, splits: Mapping[str, Rows]) -> None:
    for split, rows in splits.items():
        data = folder / "OpenBookQA-V1-Sep2018" / "Data"
        write_jsonl(data / "Main" / f"{split}.jsonl", [_as_stem(row, "question_stem") for row in rows])
        write_jsonl(
            data / "Additional" / f"{split}_complete.jsonl", [_as_stem(row, "question_stem") for row in rows[:3]]
        )


def _piqa(pick: random.Random, number: int) -> dict[str, Any]:
    return {"goal": said(pick), "sol1": said(pick), "sol2": f"{said(pick)}.", "label": pick.randrange(2)}


def _with_labels(home: str, field: str, names: Mapping[str, str]) -> Callable[[Path, Mapping[str, Rows]], None]:
    """Rows without their label, and a file of labels beside them."""

    def write(folder: Path, splits: Mapping[str, Rows]) -> None:
        for split, rows in splits.items():
            write_jsonl(folder / home / f"{names[split]}.jsonl", [without(row, field) for row in rows])
            labels = "".join(f"{row[field]}\n" for row in rows)
            (folder / home / f"{names[split]}-labels.lst").write_text(labels, encoding="utf-8")

    return write


def _social(pick: random.Random, number: int) -> dict[str, Any]:
    answers = dict(zip(("answerA", "answerB", "answerC"), several(pick, 3), strict=True))
    return {"context": f"{said(pick)}.", "question": f"{said(pick)}?", **answers, "label": pick.choice("123")}


def _hellaswag(pick: random.Random, number: int) -> dict[str, Any]:
    marks = " [title]" if number % 2 else " [step]"
    endings = [f"{text}{marks} {said(pick)}" for text in several(pick, 4)]
    row = {"ind": number, "activity_label": pick.choice(DEEDS), "ctx_a": f"{said(pick)}.", "ctx_b": pick.choice(THINGS)}
    return {**row, "endings": endings, "label": str(pick.randrange(4))}


def _write_hellaswag(folder: Path, splits: Mapping[str, Rows]) -> None:
    for split, rows in splits.items():
        name = {"validation": "val"}.get(split, split)
        write_jsonl(folder / f"hellaswag_{name}.jsonl", [{**row, "label": int(row["label"])} for row in rows])


def _winogrande(pick: random.Random, number: int) -> dict[str, Any]:
    one, two = pick.sample(THINGS, 2)
    sentence = f"{one} and {two} met, and _ {pick.choice(DEEDS)} since {said(pick)}."
    return {"qID": f"w-{number}", "sentence": sentence, "option1": one, "option2": two, "answer": pick.choice("12")}


def _boolq(pick: random.Random, number: int) -> dict[str, Any]:
    return {
        "question": said(pick),
        "passage": f"{said(pick)}. {said(pick)}.",
        "idx": number,
        "label": pick.randrange(2),
    }


def _super_glue(home: str, label: Callable[[int], Any]) -> Callable[[Path, Mapping[str, Rows]], None]:
    def write(folder: Path, splits: Mapping[str, Rows]) -> None:
        for split, rows in splits.items():
            name = {"validation": "val"}.get(split, split)
            write_jsonl(folder / home / f"{name}.jsonl", [{**row, "label": label(row["label"])} for row in rows])

    return write


def _copa(pick: random.Random, number: int) -> dict[str, Any]:
    one, two = (f"{text.capitalize()}." for text in several(pick, 2))
    kind = "cause" if number % 2 else "effect"
    row = {"premise": f"{said(pick).capitalize()}.", "choice1": one, "choice2": two, "question": kind}
    return {**row, "idx": number, "label": pick.randrange(2)}


def _write_xcopa(folder: Path, splits: Mapping[str, Rows]) -> None:
    for split, rows in splits.items():
        name = {"validation": "val"}.get(split, split)
        write_jsonl(folder / "xcopa" / "zh" / f"{name}.zh.jsonl", rows)


def _xcopa(pick: random.Random, number: int) -> dict[str, Any]:
    row = {"premise": f"{in_chinese(pick)}。", "choice1": f"{in_chinese(pick)}。", "choice2": f"{in_chinese(pick)}。"}
    return {**row, "question": "effect" if number % 2 else "cause", "label": number % 2, "idx": number}


def _blimp(pick: random.Random, number: int) -> dict[str, Any]:
    good, bad = (f"{text.capitalize()}." for text in several(pick, 2))
    return {"sentence_good": good, "sentence_bad": bad, "UID": "adjunct_island", "pairID": str(number)}


def _write_blimp(folder: Path, splits: Mapping[str, Rows]) -> None:
    write_jsonl(folder / "blimp" / "data" / "adjunct_island.jsonl", splits["train"])


def _lambada(pick: random.Random, number: int) -> dict[str, Any]:
    return {"text": f'{said(pick)}.\n\n"{said(pick)}," she said; {said(pick)} in the {pick.choice(("sea", "wind"))}'}


def _write_lambada(folder: Path, splits: Mapping[str, Rows]) -> None:
    write_jsonl(folder / "lambada_test.jsonl", splits["test"])


def _truthful(pick: random.Random, number: int) -> dict[str, Any]:
    texts = several(pick, 5)
    one = {"choices": texts[:3], "labels": [1, 0, 0]}
    return {
        "question": f"{said(pick)}?",
        "mc1_targets": one,
        "mc2_targets": {"choices": texts, "labels": [1, 1, 0, 0, 0]},
    }


def _write_truthful(folder: Path, splits: Mapping[str, Rows]) -> None:
    targets = ("mc1_targets", "mc2_targets")
    rows = [
        {"question": row["question"]}
        | {each: dict(zip(row[each]["choices"], row[each]["labels"], strict=True)) for each in targets}
        for row in splits["validation"]
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mc_task.json").write_text(json.dumps(rows), encoding="utf-8")


def _mmlu(pick: random.Random, number: int) -> dict[str, Any]:
    question = {"question": f"{said(pick)}? ", "subject": "anatomy"}
    return {**question, "choices": several(pick, 4), "answer": pick.randrange(4)}


def _write_mmlu(folder: Path, splits: Mapping[str, Rows]) -> None:
    """No header, and letters for answers."""
    for split, rows in splits.items():
        table = [
            {"question": row["question"]}
            | dict(zip(LETTERS, row["choices"], strict=True))
            | {"answer": LETTERS[row["answer"]]}
            for row in rows
        ]
        write_csv(folder / "hendrycks_test" / "data" / split / f"anatomy_{split}.csv", table, header=False)


def _ceval(pick: random.Random, number: int) -> dict[str, Any]:
    choices = {letter: in_chinese(pick) for letter in LETTERS}
    return {"id": number, "question": f"{in_chinese(pick)}是____。", **choices, "answer": pick.choice(LETTERS)}


def _write_ceval(folder: Path, splits: Mapping[str, Rows]) -> None:
    for split, rows in splits.items():
        write_csv(folder / "ceval-exam" / split / f"law_{split}.csv", rows)


def _cmmlu(pick: random.Random, number: int) -> dict[str, Any]:
    choices = {letter: in_chinese(pick) for letter in LETTERS}
    return {"Question": f"{in_chinese(pick)}？", **choices, "Answer": pick.choice(LETTERS)}


def _write_cmmlu(folder: Path, splits: Mapping[str, Rows]) -> None:
    """The first column counts the rows and has no name."""
    for split, rows in splits.items():
        table = [{"": number, **row} for number, row in enumerate(rows)]
        write_csv(folder / "cmmlu" / split / "agronomy.csv", table)


TRAIN = ("train", "validation")

OWN: dict[str, OwnSet] = {
    "arc_easy": OwnSet(made(_arc), _write_arc, ("train", "test")),
    "openbookqa": OwnSet(made(_open_book), _write_open_book, ("train", "test")),
    "piqa": OwnSet(
        made(_piqa),
        _with_labels("physicaliqa-train-dev", "label", {"train": "train", "validation": "valid"}),
        TRAIN,
    ),
    "social_iqa": OwnSet(
        made(_social),
        _with_labels("socialiqa-train-dev", "label", {"train": "train", "validation": "dev"}),
        TRAIN,
    ),
    "hellaswag": OwnSet(made(_hellaswag), _write_hellaswag, TRAIN),
    "winogrande": OwnSet(
        made(_winogrande),
        _with_labels("winogrande_1.1", "answer", {"train": "train_xl", "validation": "dev"}),
        TRAIN,
    ),
    "boolq": OwnSet(made(_boolq), _super_glue("BoolQ", bool), TRAIN),
    "copa": OwnSet(made(_copa), _super_glue("COPA", int), TRAIN),
    "xcopa_zh": OwnSet(made(_xcopa), _write_xcopa, ("validation", "test")),
    "blimp_adjunct_island": OwnSet(made(_blimp), _write_blimp, ("train",)),
    "lambada_openai": OwnSet(made(_lambada), _write_lambada, ("test",)),
    "truthfulqa_mc1": OwnSet(made(_truthful), _write_truthful, ("validation",)),
    "truthfulqa_mc2": OwnSet(made(_truthful), _write_truthful, ("validation",)),
    "mmlu_anatomy": OwnSet(made(_mmlu), _write_mmlu, ("dev", "test")),
    "ceval-valid_law": OwnSet(made(_ceval), _write_ceval, ("dev", "val")),
    "cmmlu_agronomy": OwnSet(made(_cmmlu), _write_cmmlu, ("dev", "test")),
}
"""By the name of lm-eval's task."""
