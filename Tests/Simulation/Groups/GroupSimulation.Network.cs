using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

// The network between members and a coordinator: it delays, loses, duplicates and reorders.
internal sealed partial class GroupSimulation
{
    /// <summary>
    /// Sends a request to the coordinator that the member believes in. Answered once, with null on a timeout. Joins and leaves of the
    /// classic protocol arrive in the order sent, as over one connection; a new connection loses the requests of the old one. In unordered
    /// runs all other requests, including numbered heartbeats, may arrive in any order, repeatedly, and long after they timed out.
    /// </summary>
    public void Call(SimulatedMember member, IGroupRequest request, long timeoutMs, Action<object?> answered)
    {
        var isDone = false;
        AfterOn(member, timeoutMs, () => Finish(null, isBroken: true));
        // An offset fetch looks up the group's coordinator anew, through any broker.
        if ((request is OffsetFetch ? FindCoordinator() : member.Coordinator) is not { } coordinator)
        {
            AfterOn(member, 5, () => Finish(null, isBroken: true));
            return;
        }
        // A request waiting on an abandoned connection fails at once.
        member.OnReconnect(() => AfterOn(member, 0, () => Finish(null, isBroken: false)));
        if (IsLost(member))
            return;
        var isOrdered = Scenario.IsOrdered || request is JoinGroup or LeaveGroup;
        var connection = member.Connection;
        var isNumbered = request is ConsumerGroupHeartbeat { Sequence: > 0 };
        // An abandoned request arrives when later ones were sent and answered.
        var delay = isNumbered && !Quiet && Chance(15) ? _random.Next(3 * RequestTimeoutMs) : Delay();
        if (isOrdered)
            member.LastArrival = Math.Max(member.LastArrival, Now + delay);
        var at = isOrdered ? member.LastArrival - Now : delay;
        After(at, () => Arrive(Answer));
        // With ordered requests the first one's answer is delivered.
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

    /// <summary>Schedules a step of a member's process: dropped after its end, delayed during a pause.</summary>
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
