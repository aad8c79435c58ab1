using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

// The way from members to a coordinator and back: it delays, loses, doubles and reorders.
internal sealed partial class GroupSimulation
{
    /// <summary>
    /// Asks the coordinator that the member believes in. Answered once, with null where nothing was heard in time. What joins or leaves
    /// under the classic protocol arrives in the order in which it was sent, as over one connection: an old connection's requests are lost
    /// when the next one begins. All else, heartbeats that are numbered too, may, in runs that are not ordered, arrive in any order, again,
    /// and long after it was given up.
    /// </summary>
    public void Call(SimulatedMember member, IGroupRequest request, long timeoutMs, Action<object?> answered)
    {
        var isDone = false;
        AfterOn(member, timeoutMs, () => Finish(null, isBroken: true));
        // Whoever asks where to read on is sent to the group's coordinator anew, by whatever broker it asks.
        if ((request is OffsetFetch ? FindCoordinator() : member.Coordinator) is not { } coordinator)
        {
            AfterOn(member, 5, () => Finish(null, isBroken: true));
            return;
        }
        // What waits for an answer on a connection that is given up hears at once that there will be none.
        member.OnReconnect(() => AfterOn(member, 0, () => Finish(null, isBroken: false)));
        if (IsLost(member))
            return;
        var isOrdered = Scenario.IsOrdered || request is JoinGroup or LeaveGroup;
        var connection = member.Connection;
        var isNumbered = request is ConsumerGroupHeartbeat { Sequence: > 0 };
        // One that was given up comes when others were sent and answered since.
        var delay = isNumbered && !Quiet && Chance(15) ? _random.Next(3 * RequestTimeoutMs) : Delay();
        if (isOrdered)
            member.LastArrival = Math.Max(member.LastArrival, Now + delay);
        var at = isOrdered ? member.LastArrival - Now : delay;
        After(at, () => Arrive(Answer));
        // Where order is kept, it is the first's answer that is heard.
        if (Chance(Scenario.DoublePercent))
            After(isOrdered ? at : at + (isNumbered ? _random.Next(3 * RequestTimeoutMs) : 3 * Delay()),
                () => Arrive(isOrdered ? _ => { } : Answer));

        void Arrive(Action<object> answer)
        {
            if (!coordinator.IsUp)
                AfterOn(member, Delay(), () => Finish(null, isBroken: true));
            else
                RunOn(coordinator, () => WhenServing(coordinator, () =>
                {
                    if (!isOrdered || member.Connection == connection)
                        Handle(coordinator, request, answer);
                }));
        }

        void Answer(object answer)
        {
            if (IsLost(member))
                return;
            AfterOn(member, Delay(), () =>
            {
                if (member.Connection == connection)
                    Finish(answer, isBroken: false);
            });
        }

        void Finish(object? answer, bool isBroken)
        {
            if (isDone)
                return;
            isDone = true;
            if (isBroken)
                member.Reconnect();
            answered(answer);
        }
    }

    private bool IsLost(SimulatedMember member) => !Quiet && (member.IsCutOff || Chance(Scenario.DropPercent));

    private int Delay() => Chance(2) ? _random.Next(1_000) : 1 + _random.Next(Scenario.MaxDelayMs);

    /// <summary>A step of a member's process: dropped when it has ended, put off while it is paused.</summary>
    public void AfterOn(SimulatedMember member, long delay, Action step) => After(delay, () => RunOn(member, step));

    private void RunOn(SimulatedMember member, Action step)
    {
        if (!member.IsAlive)
            return;
        if (member.PausedUntil > Now)
            After(member.PausedUntil - Now, () => RunOn(member, step));
        else
            step();
    }
}
