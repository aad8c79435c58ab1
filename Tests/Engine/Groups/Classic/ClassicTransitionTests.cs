using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Classic;

namespace OrleansMq.Tests.Engine.Groups.Classic;

public sealed class ClassicTransitionTests
{
    private static readonly (GroupState, GroupState)[] Legal =
    [
        (GroupState.Empty, GroupState.PreparingRebalance), (GroupState.PreparingRebalance, GroupState.CompletingRebalance),
        (GroupState.PreparingRebalance, GroupState.Empty), (GroupState.CompletingRebalance, GroupState.Stable),
        (GroupState.CompletingRebalance, GroupState.PreparingRebalance), (GroupState.Stable, GroupState.PreparingRebalance),
    ];

    [Fact]
    public void Group_state_changes_only_along_the_transition_table()
    {
        foreach (var from in Enum.GetValues<GroupState>())
        {
            foreach (var to in Enum.GetValues<GroupState>())
            {
                var state = ClassicGroupState.Create(default) with { State = from };
                if (Legal.Contains((from, to)))
                    Assert.Equal(to, state.Enter(to).State);
                else
                    Assert.Throws<InvariantViolationException>(() => state.Enter(to));
            }
        }
    }
}
