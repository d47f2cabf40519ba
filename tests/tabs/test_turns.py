import asyncio

from tabs.turns import turn


async def rounds_and_turns(number: int, leaving: int | None = None) -> list[str]:
    """What happens until `number` have had their turns: each its number, and a dot for each round of the loop. The one
    called `leaving` is cancelled at once."""
    seen: list[str] = []

    async def wait_for_turn(name: int) -> None:
        await turn()
        seen.append(str(name))

    tasks = [asyncio.create_task(wait_for_turn(name)) for name in range(number)]
    await asyncio.sleep(0)
    if leaving is not None:
        tasks[leaving].cancel()
    while not all(task.done() for task in tasks):
        seen.append(".")
        await asyncio.sleep(0)
    return seen


def test_the_loop_looks_at_all_else_between_two_turns_which_come_in_order():
    seen = "".join(asyncio.run(rounds_and_turns(9)))
    assert seen.replace(".", "") == "012345678"
    assert all(f"{number}{number + 1}" not in seen for number in range(8))


def test_who_leaves_while_waiting_holds_up_nobody():
    assert "".join(asyncio.run(rounds_and_turns(5, leaving=2))).replace(".", "") == "0134"


def test_another_loop_has_turns_of_its_own():
    assert [asyncio.run(rounds_and_turns(1))[0] for _ in range(3)] == ["0"] * 3
