using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

// Coordinators of transactional ids: at most one for an id in the directory, but several may be alive.
internal sealed partial class TransactionSimulation
{
    private static readonly DateTimeOffset Epoch = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly TransactionOptions _options;
    private readonly TransactionRules _rules;
    private readonly List<SimulatedCoordinator> _coordinators = [];
    /// <summary>The coordinators in the directory; for others the next request starts one.</summary>
    private readonly Dictionary<string, SimulatedCoordinator> _current = [];
    private int _opened;
    private long _requests;
    private long _lastProducerId = 100;

    private DateTimeOffset TimeOf(SimulatedCoordinator coordinator) => Epoch.AddMilliseconds(Now + coordinator.SkewMs);

    private long NewProducerId() => ++_lastProducerId;

    private SimulatedCoordinator FindCoordinator(string id)
    {
        if (!Quiet && Chance(Scenario.MisroutedPercent) && _coordinators.FindAll(one => one.Id == id) is { Count: > 1 } all)
            return Choose(all);
        return _current.TryGetValue(id, out var current) ? current : Open(id);
    }

    private SimulatedCoordinator Open(string id)
    {
        var older = _coordinators.FindAll(one => one.Id == id);
        if (_opened > Scenario.Ids)
            Figures.Failovers++;
        if (older.Count > 0)
            Figures.Zombies++;
        var coordinator = new SimulatedCoordinator(id, _opened++, Next(-Scenario.SkewMs, Scenario.SkewMs + 1));
        _coordinators.Add(coordinator);
        _current[id] = coordinator;
        if (IsTraced)
            Tell($"{coordinator} OPENS");
        Read(coordinator);
        // The directory repairs itself eventually, so a second coordinator does not live for ever.
        After(Next(Scenario.MostPauseMs), () => older.ForEach(Stop));
        return coordinator;
    }

    private void Stop(SimulatedCoordinator coordinator)
    {
        coordinator.IsUp = false;
        _coordinators.Remove(coordinator);
        if (_current.GetValueOrDefault(coordinator.Id) == coordinator)
            _current.Remove(coordinator.Id);
    }

    private void RunOn(SimulatedCoordinator coordinator, Action step)
    {
        if (!coordinator.IsUp)
            return;
        if (coordinator.PausedUntil > Now)
            After(coordinator.PausedUntil - Now, () => RunOn(coordinator, step));
        else
            step();
    }

    /// <summary>A transaction that is open or being ended, and that no coordinator holds, is opened by the partitions that wait for
    /// it.</summary>
    private void Sweep()
    {
        After(Quiet ? 250 : 500, Sweep);
        foreach (var (id, document) in _documents)
        {
            if (document.State is { IsAtRest: false } && !_current.ContainsKey(id))
                Open(id);
        }
    }

    /// <summary>Sends a request to a coordinator, from the broker that a client's request has come to.</summary>
    private void AskCoordinator(ITransactionRequest request, SimulatedClient? client, SimulatedClient? servedFor, CoordinatorCall call,
        Action<object> answered, Predicate<SimulatedCoordinator>? arrives = null, ClientTransaction? transaction = null) =>
        After(Delay(), () =>
        {
            var coordinator = FindCoordinator(request.TransactionalId);
            RunOn(coordinator, () => WhenServing(coordinator, () =>
            {
                if (arrives?.Invoke(coordinator) ?? true)
                    Handle(coordinator, request, client, servedFor, transaction, call, answer => After(Delay(), () => answered(answer)));
            }));
        });

    private void Handle(SimulatedCoordinator coordinator, ITransactionRequest body, SimulatedClient? client, SimulatedClient? servedFor,
        ClientTransaction? transaction, CoordinatorCall call, Action<object> answer)
    {
        var id = ++_requests;
        (call.Coordinator, call.Request) = (coordinator, id);
        if (IsTraced)
            Tell($"{coordinator} <- {servedFor}: {Describe(body)}");
        _answers.OnArrived(body, coordinator.Waiting.Values);
        coordinator.Waiting.Add(id, new OpenRequest(body, client, servedFor, transaction, _documents[coordinator.Id].History.Count, Now,
            answer));
        Give(coordinator, new CoordinatorRequest(id, body));
    }

    /// <summary>The caller waits no more.</summary>
    private void Abandon(CoordinatorCall call)
    {
        if (call.Coordinator is { } coordinator)
        {
            RunOn(coordinator, () =>
            {
                if (!coordinator.Waiting.TryGetValue(call.Request, out var request))
                    return;
                request.IsAbandoned = true;
                Give(coordinator, new AbandonRequest(call.Request));
            });
        }
    }

    /// <summary>Delays requests while a coordinator still reads the stored state.</summary>
    private static void WhenServing(SimulatedCoordinator coordinator, Action step)
    {
        if (coordinator.Core is null)
            coordinator.Early.Enqueue(step);
        else
            step();
    }

    /// <summary>The stored state was read, for the first time or again.</summary>
    private void OnRead(SimulatedCoordinator coordinator, StoredTransaction stored)
    {
        if (coordinator.Core is not null)
        {
            Give(coordinator, new ReadCompleted(stored));
            return;
        }
        coordinator.Core = new TransactionCore(coordinator.Id, 0, _options, NewGuid(), stored, TimeOf(coordinator), _rules);
        Perform(coordinator);
        while (coordinator.IsUp && coordinator.Early.TryDequeue(out var request))
            request();
    }

    private void Give(SimulatedCoordinator coordinator, CoordinatorCommand command)
    {
        coordinator.Core!.Execute(command, TimeOf(coordinator));
        Perform(coordinator);
    }

    private void Perform(SimulatedCoordinator coordinator)
    {
        var effects = new List<CoordinatorEffect>();
        coordinator.Core!.TakeEffects(effects);
        foreach (var effect in effects)
        {
            if (!Quiet && _random.Next(1_000) < Scenario.CrashPerMille)
            {
                if (IsTraced)
                    Tell($"{coordinator} CRASHES before {effect.GetType().Name}");
                Stop(coordinator);
                return;
            }
            Perform(coordinator, effect);
        }
        if (coordinator.WantsToRead && coordinator.WritesInFlight == 0)
            Read(coordinator);
    }

    private void Perform(SimulatedCoordinator coordinator, CoordinatorEffect effect)
    {
        switch (effect)
        {
            case Reply reply:
                OnReply(coordinator, reply);
                break;
            case Store write:
                Write(coordinator, write);
                break;
            case ReadStored:
                coordinator.WantsToRead = true;
                break;
            case ConfirmClaim confirm:
                Confirm(coordinator, confirm);
                break;
            case WakeAt wake:
                WakeUp(coordinator, wake);
                break;
            case EndParticipants end:
                TellParticipants(coordinator, end);
                break;
            case TakeProducerId:
                TakeId(coordinator);
                break;
            case ReleaseProducerIds:
                break;
            case Deposed:
                Stop(coordinator);
                break;
            case LogLine line:
                if (IsTraced)
                    Tell($"{coordinator}: {line.Message}");
                if (line.Message.EndsWith("it is raised.", StringComparison.Ordinal))
                    Figures.Raised++;
                break;
            default:
                throw new Verdict($"effects: there is no {effect}");
        }
    }

    private void TakeId(SimulatedCoordinator coordinator)
    {
        var isTaken = !Fails(10);
        var producerId = NewProducerId();
        After(Delay(), () => RunOn(coordinator, () => Give(coordinator,
            isTaken ? new ProducerIdTaken(producerId) : new ProducerIdNotTaken("the store is down"))));
    }

    private void WakeUp(SimulatedCoordinator coordinator, WakeAt wake)
    {
        var number = ++coordinator.Wakes;
        if (wake.Time is not { } time)
            return;
        // A timer may be late, never early.
        var delay = Math.Max(0, (long)Math.Ceiling((time - TimeOf(coordinator)).TotalMilliseconds)) + Next(3);
        After(delay, () => RunOn(coordinator, () =>
        {
            if (coordinator.Wakes == number)
                Give(coordinator, new Wake());
        }));
    }

    private void OnReply(SimulatedCoordinator coordinator, Reply reply)
    {
        if (!coordinator.Waiting.Remove(reply.RequestId, out var request))
            throw new Verdict($"answers: request {reply.RequestId} is answered twice, or was never asked: {reply.Result}");
        if (IsTraced)
            Tell($"{coordinator} answers {Describe(request.Body)} of {request.For}: {Describe(reply.Result)}");
        if (request.IsAbandoned)
            return;
        _answers.OnAnswered(request, reply.Result, _documents[coordinator.Id].History);
        request.Answer(reply.Result);
    }

    /// <summary>A request at a coordinator, to be abandoned.</summary>
    private sealed class CoordinatorCall
    {
        public SimulatedCoordinator? Coordinator { get; set; }
        public long Request { get; set; }
    }
}
