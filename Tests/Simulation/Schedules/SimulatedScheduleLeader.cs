using OrleansMq.Schedules;

namespace OrleansMq.Tests.Simulation.Schedules;

/// <summary>A leader of the schedules: the shell around the service. Each effect is carried out later, or never if the leader
/// dies.</summary>
internal sealed class SimulatedScheduleLeader(ScheduleSimulation simulation, int epoch, long skew, ScheduleService service)
{
    private readonly Dictionary<long, Action<ScheduleOutcome>> _callers = [];
    private long _requests;
    private long _wakes;

    public int Epoch => epoch;
    public bool IsDead { get; set; }
    public bool HasEnded { get; private set; }
    public ScheduleService Service => service;

    public void Begin() => Do(service.Begin(simulation.Now + skew));

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
        Do(service.Process(command, simulation.Now + skew));
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
                    SendLater(new ScheduleTargetsRead(read.Number, [.. read.Timers.Select(simulation.TargetOf)]));
                    break;
                case PublishIntent publish:
                    simulation.After(simulation.Delay(), () => Publish(publish.Intent));
                    break;
                case ScheduleAnswer answer:
                    _callers.Remove(answer.RequestId, out var caller);
                    Verdict.Require(caller is not null, $"5: request {answer.RequestId} is answered twice.");
                    caller!(answer.Outcome);
                    break;
                case WakeScheduleAt wake:
                    var number = ++_wakes;
                    simulation.After(Math.Max(wake.Time - skew - simulation.Now, 0), () =>
                    {
                        if (number == _wakes)
                            Send(new ScheduleTick());
                    });
                    break;
                case EndSchedules:
                    HasEnded = true;
                    simulation.LeaderEnded(this);
                    break;
            }
        }
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
        var outcome = simulation.Publish(intent, epoch);
        SendLater(new IntentAnswered(intent.Target, intent.FirstSequence, simulation.MayFail(20) ? PublishOutcome.Unknown : outcome));
    }
}
