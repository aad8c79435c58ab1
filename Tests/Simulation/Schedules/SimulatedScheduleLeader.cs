using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>A leader of the schedules: the shell around the service. Each effect is carried out later, or never if the leader
/// dies.</summary>
internal sealed class SimulatedScheduleLeader(ScheduleSimulation simulation, int epoch, long skew, ScheduleService service)
{
    private readonly Dictionary<long, Action<ScheduleOutcome>> _callers = [];
    private readonly ScheduleClock _clock = new();
    private long _requests;
    private long _wakes;

    public int Epoch => epoch;
    public bool IsDead { get; set; }
    public bool HasEnded { get; private set; }
    public ScheduleService Service => service;

    public void Begin() => Do(service.Begin(ReadTime()));

    /// <summary>Sends a request; a dead leader never answers.</summary>
    public void Request(Func<long, ScheduleCommand> request, Action<ScheduleOutcome> answered)
    {
        var id = ++_requests;
        _callers.Add(id, answered);
        Send(request(id));
    }

    private void Send(ScheduleCommand command)
    {
        if (IsDead)
            return;
        simulation.Trace?.Invoke($"{simulation.Now} leader {epoch}: {command}");
        Do(service.Process(command, ReadTime()));
    }

    private ScheduleTime ReadTime()
    {
        var time = _clock.Read(simulation.Now + skew + simulation.AheadMs, simulation.Now);
        if (time.Now > simulation.Now + ScheduleSimulation.SkewMs)
            simulation.BelievedAheadAt = simulation.Now;
        return time;
    }

    private void SendLater(ScheduleCommand command) => simulation.After(simulation.Delay(), () => Send(command));

    private void Do(IReadOnlyList<ScheduleEffect> effects)
    {
        foreach (var effect in effects)
        {
            switch (effect)
            {
                case AppendScheduleRecords append:
                    simulation.After(simulation.Delay(), () => Append(append));
                    break;
                case ReadScheduleTargets read:
                    simulation.CheckDue(read.Timers);
                    SendLater(new ScheduleTargetsRead(read.Number, [.. read.Timers.Select(timer => simulation.TargetOf(timer, read.Now))]));
                    break;
                case FindMissingTopics find:
                    SendLater(new MissingTopicsFound(simulation.MissingOf(find.TopicIds)));
                    break;
                case ConfirmMissingTopics confirm:
                    SendLater(new MissingTopicsConfirmed(confirm.Timers.Select(timer => timer.TopicId).Where(simulation.IsGone)
                        .ToHashSet()));
                    break;
                case PublishIntent publish:
                    simulation.After(simulation.Delay(), () => Publish(publish.Intent));
                    break;
                case ScheduleAnswer answer:
                    _callers.Remove(answer.RequestId, out var caller);
                    Verdict.Require(caller is not null, $"5: request {answer.RequestId} is answered twice.");
                    caller!(answer.Outcome);
                    break;
                case WakeSchedule wake:
                    Wake(wake, ++_wakes);
                    break;
                case EndSchedules:
                    HasEnded = true;
                    simulation.LeaderEnded(this);
                    break;
            }
        }
    }

    private void Wake(WakeSchedule wake, long number)
    {
        var time = ReadTime();
        var left = Math.Min(wake.DueAt == long.MaxValue ? long.MaxValue : wake.DueAt - time.Now,
            wake.RetryAt == long.MaxValue ? long.MaxValue : wake.RetryAt - time.Elapsed);
        if (left == long.MaxValue)
            return;
        // The clock may be set meanwhile.
        simulation.After(Math.Clamp(left, 0, 1_000), () =>
        {
            if (number != _wakes || IsDead)
                return;
            if (left <= 1_000)
                Send(new ScheduleTick());
            else
                Wake(wake, number);
        });
    }

    private void Append(AppendScheduleRecords append)
    {
        if (IsDead)
            return;
        if (epoch != simulation.Epoch || simulation.MayFail(2))
        {
            SendLater(new ScheduleAppendFailed(append.Number));
            return;
        }
        var first = simulation.Log.Append(append.Records);
        simulation.After(simulation.Delay(), () =>
        {
            // A failover decided meanwhile which batches stay.
            if (epoch != simulation.Epoch)
            {
                SendLater(new ScheduleAppendFailed(append.Number));
                return;
            }
            simulation.Log.Replicate(first);
            SendLater(simulation.MayFail(2) ? new ScheduleAppendFailed(append.Number) : new ScheduleRecordsInForce(append.Number, first));
        });
    }

    private void Publish(ScheduleIntent intent)
    {
        if (IsDead)
            return;
        var (outcome, refused) = simulation.Publish(intent, epoch);
        SendLater(simulation.MayFail(20) ? new IntentAnswered(intent.Target, intent.FirstSequence, PublishOutcome.Unknown)
            : new IntentAnswered(intent.Target, intent.FirstSequence, outcome) { Refused = refused });
    }
}
