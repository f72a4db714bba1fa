"""The sums that every tool is asked, and responses of which some are wrong."""

SUMS = ((2, 3), (10, 7), (21, 14))
DRAWS = 4


def reply_to(question: str, draw: int) -> str:
    """Return the response of one draw: its answer is in a box and on a line of its own."""
    words = question.split("?")[0].split()
    a, b = int(words[-3]), int(words[-1])
    total = a + b + (draw < a // 9)
    return f"Adding gives {total}.\n\nANSWER: {total}\n\n\\boxed{{{total}}}"
