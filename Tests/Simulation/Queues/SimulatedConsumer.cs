using OrleansMq.Queues;

namespace OrleansMq.Tests.Simulation.Queues;

/// <summary>A consumer that attaches to the leader that it knows, and does all that consumers do: settle, late, twice, from an old
/// attachment, or not at all.</summary>
internal sealed class SimulatedConsumer(QueueSimulation simulation)
{
    private SimulatedLeader? _leader;
    private long _attachment;

    public bool Holds(long attachment) => attachment == _attachment;

    /// <summary>Leaves, and attaches to the current leader, or a former one.</summary>
    public void Attach(SimulatedLeader? former = null)
    {
        Detach();
        var (leader, attachment) = (former ?? simulation.Leader, simulation.NewNumber());
        (_leader, _attachment) = (leader, attachment);
        var scenario = simulation.Scenario;
        var attach = new Attach(attachment, simulation.Next(0, 2), scenario.IsWindow, scenario.LockMs, scenario.IsBuffered)
        {
            KeyRun = scenario.KeyRun,
            KeyRunReserve = scenario.Credit / 4,
        };
        simulation.Send(() => leader.Handle(attach), isSure: true);
        // Credit overtakes nothing: both go over one connection.
        simulation.After(scenario.MaxDelayMs + 1, () => leader.Handle(new GrantCredit(attachment, scenario.Credit)));
    }

    private void Detach()
    {
        var (leader, attachment) = (_leader, _attachment);
        if (leader is null)
            return;
        var (delay, kept) = (simulation.Scenario.MaxDelayMs + 2, 0);
        if (simulation.Scenario.Configuration.IsSingleActiveConsumer && simulation.Chance(50))
        {
            kept = simulation.Next(1, 200);
            simulation.After(delay, () => leader.Handle(new Yield(attachment)));
        }
        simulation.After(delay + kept, () => leader.Handle(new Detach(attachment, simulation.Chance(50))));
    }

    public void Receive(SimulatedLeader leader, LockToken token, IReadOnlyList<DeliveredRecord> records, OffsetRange? range)
    {
        if (range is { Count: > 1 } all && simulation.Chance(30))
        {
            simulation.After(simulation.Next(1, 50), () => Act(leader, token, all));
            return;
        }
        foreach (var record in records)
        {
            // Some handlers outlast their lock.
            var time = simulation.Chance(90) || simulation.Quiet ? simulation.Next(1, 50) : simulation.Next(100, 900);
            simulation.After(time, () => Act(leader, token, OffsetRange.Of(record.Offset)));
        }
    }

    private void Act(SimulatedLeader leader, LockToken token, OffsetRange records)
    {
        var scenario = simulation.Scenario;
        // A late settlement may reach the next leader, with a lock of the one before.
        var to = simulation.Chance(50) ? leader : simulation.Leader;
        var choice = simulation.Next(100);
        if (!simulation.Quiet && choice < 4)
            return;
        if (!simulation.Quiet && choice < 4 + scenario.ReleasePercent)
        {
            var (isFailure, delay) = (simulation.Chance(70), simulation.Chance(30) ? (long?)simulation.Next(0, 200) : null);
            var isUncounted = !isFailure && simulation.Chance(50);
            Request(to, () => new Release(simulation.NewNumber(), token, records, isFailure, delay) { IsUncounted = isUncounted }, 2);
        }
        else if (choice > 100 - scenario.RejectPercent)
            Request(to, () => new Reject(simulation.NewNumber(), token, records), 2);
        else if (!simulation.Quiet && choice > 90 - scenario.RejectPercent)
        {
            Request(to, () => new Renew(simulation.NewNumber(), token, records), 0);
            simulation.After(simulation.Next(50, 400), () => Request(to, () => new Settle(simulation.NewNumber(), token, records), 2));
        }
        else
            Request(to, () => new Settle(simulation.NewNumber(), token, records), 2);
        if (!scenario.IsWindow && leader == _leader)
        {
            var attachment = _attachment;
            simulation.After(1, () => leader.Handle(new GrantCredit(attachment, (int)records.Count)));
        }
    }

    // Repeats a request whose answer is lost. Each repetition is a request of its own.
    private void Request(SimulatedLeader leader, Func<CursorRequest> request, int repetitions)
    {
        var isAnswered = false;
        simulation.Send(() => leader.Handle(request(), answer =>
            simulation.Send(() => isAnswered |= answer.Outcome is CursorOutcome.Done or CursorOutcome.InvalidLock)));
        if (repetitions > 0)
        {
            simulation.After(simulation.Next(150, 400), () =>
            {
                if (!isAnswered)
                    Request(leader, request, repetitions - 1);
            });
        }
    }
}
