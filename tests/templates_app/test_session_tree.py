from templates_app.session_tree import MAX_LANE, lay_out


def drawn(parents, **options):
    return [(row.step, row.lane) for row in lay_out(parents, **options)]


def test_a_line_of_steps_stands_in_one_lane():
    assert drawn({1: None, 2: 1, 3: 2}) == [(1, 0), (2, 0), (3, 0)]


def test_branches_stand_one_lane_further_in_between_their_step_and_what_went_on_first():
    assert drawn({1: None, 2: 1, 3: 2, 4: 1, 5: 4, 6: 1}) == [(1, 0), (4, 1), (5, 1), (6, 1), (2, 0), (3, 0)]


def test_roots_stand_side_by_side():
    assert drawn({1: None, 2: None, 3: 1}) == [(1, 0), (3, 0), (2, 0)]


def test_a_thousand_steps_deep_or_branching_are_laid_out_and_bounded():
    line = {1: None} | {step: step - 1 for step in range(2, 1001)}
    rows = lay_out(line, current=500)
    assert len(rows) == 80
    assert {row.step for row in rows} >= {500, 499, 501, 1000}
    assert sum(row.hidden_before for row in rows) == 1000 - 80
    deep = {1: None, 2: 1, 3: 1}
    for step in range(4, 1000, 2):
        deep |= {step: step - 1, step + 1: step - 1}
    assert max(row.lane for row in lay_out(deep, most=2000)) == MAX_LANE
    wide = {1: None} | dict.fromkeys(range(2, 1001), 1)
    assert {row.step for row in lay_out(wide, current=1)} >= {1, 2, 1000}
