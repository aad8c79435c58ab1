using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Timing;

namespace OrleansMq.Coordination;

/// <summary>
/// A <see cref="CoordinatorCore"/> with its tasks, its timer and its store. Commands are carried out one at a time, in the order in which
/// they come, on the thread of one of the callers. An idle coordinator has neither thread nor timer. Thread safe.
/// </summary>
internal sealed partial class Coordinator : ICoordinator
{
    // A caller carries out this many commands before the rest is left to the thread pool, so that the caller goes on, too.
    private const int MaxCommandsOfOneCaller = 64;

    private readonly Lock _gate = new();
    // Bounded by the requests that wait: each has one command here at most.
    private readonly Queue<CoordinatorCommand> _commands = new();
    private readonly Dictionary<long, PendingRequest> _requests = [];
    private readonly List<CoordinatorEffect> _effects = [];
    private readonly CoordinatorCore _core;
    private readonly CoordinatorKind _kind;
    private readonly string _id;
    private readonly DocumentStore _store;
    private readonly TimeProvider _time;
    private readonly SteadyClock _now;
    private readonly EngineLog _log;
    private readonly WakeTimer _timer;
    // Carries out the effects of one kind of coordinator; null: it has none of its own.
    private readonly Func<CoordinatorEffect, CancellationToken, Task<CoordinatorCommand?>>? _perform;
    private readonly CancellationTokenSource _closing = new();
    private TaskCompletionSource? _idle;
    private long _lastRequest;
    private int _operations;
    private bool _isRunning;
    private bool _isClosed;

    private Coordinator(CoordinatorKind kind, string id, CoordinatorCore core, DocumentStore store, TimeProvider time, EngineLog log,
        Func<CoordinatorEffect, CancellationToken, Task<CoordinatorCommand?>>? perform)
    {
        (_kind, _id, _core, _store, _time, _log, _perform) = (kind, id, core, store, time, log, perform);
        _now = new SteadyClock(time);
        _timer = new WakeTimer(time, () => Post(new Wake()));
    }

    /// <summary>Occurs when it answers no more. May occur twice.</summary>
    public event Action? Ended;

    /// <inheritdoc/>
    public event Action? Vacated;

    /// <inheritdoc/>
    public bool IsClosed
    {
        get
        {
            lock (_gate)
                return _isClosed || _core.IsDeposed;
        }
    }

    /// <inheritdoc/>
    public bool IsVacant
    {
        get
        {
            lock (_gate)
                return !_isRunning && _commands.Count == 0 && _requests.Count == 0 && _core.IsVacant;
        }
    }

    private string ClosedMessage => $"The {_kind.Noun}'s coordinator is closed: find the coordinator, and retry.";

    /// <summary>Reads the documents and takes them up. It carries nothing out before <see cref="Run"/> or the first command.</summary>
    /// <param name="kind">The kind of coordinator.</param>
    /// <param name="id">The id of what it coordinates.</param>
    /// <param name="store">The store of the documents.</param>
    /// <param name="createCore">Makes the core, given what is stored.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    /// <param name="perform">Carries out the effects of this kind of coordinator, and tells what came of it; null: it has none of its own.
    /// Cancelled when the coordinator closes or is deposed; it does not throw otherwise.</param>
    /// <param name="cancellationToken">Ends the read.</param>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    public static async Task<Coordinator> OpenAsync(CoordinatorKind kind, string id, IStateStore store,
        Func<StoredDocuments, CoordinatorCore> createCore, TimeProvider time, EngineLog log,
        Func<CoordinatorEffect, CancellationToken, Task<CoordinatorCommand?>>? perform = null,
        CancellationToken cancellationToken = default)
    {
        var documents = new DocumentStore(store, kind, id);
        var stored = await documents.ReadAsync(cancellationToken).ConfigureAwait(false);
        return new Coordinator(kind, id, createCore(stored), documents, time, log, perform);
    }

    /// <inheritdoc/>
    public async ValueTask<object> AskAsync(ICoordinatorRequest body, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var request = new PendingRequest(body);
        long number;
        lock (_gate)
        {
            if (_isClosed)
                return body.Refuse(ErrorCode.NotCoordinator, ClosedMessage);
            number = ++_lastRequest;
            _requests.Add(number, request);
            _commands.Enqueue(new CoordinatorRequest(number, body, body.NeedsFreshId ? Guid.NewGuid() : default));
        }
        Run();
        using var registration = request.Task.IsCompleted || !cancellationToken.CanBeCanceled
            ? default
            : cancellationToken.UnsafeRegister(_ => Cancel(number, cancellationToken), null);
        return await request.Task.ConfigureAwait(false);
    }

    /// <summary>Hands a command to the core.</summary>
    public void Post(CoordinatorCommand command)
    {
        Enqueue(command);
        Run();
    }

    /// <summary>Queues a command, which the caller carries out by <see cref="Run"/>.</summary>
    public void Enqueue(CoordinatorCommand command)
    {
        lock (_gate)
        {
            if (!_isClosed)
                _commands.Enqueue(command);
        }
    }

    /// <summary>Carries out the commands that wait, unless another thread does.</summary>
    public void Run()
    {
        lock (_gate)
        {
            if (_isRunning)
                return;
            _isRunning = true;
        }
        try
        {
            for (var carriedOut = 0; RunOne(); carriedOut++)
            {
                if (carriedOut < MaxCommandsOfOneCaller)
                    continue;
                ThreadPool.UnsafeQueueUserWorkItem(static coordinator => coordinator.RunOn(), this, preferLocal: false);
                return;
            }
        }
        catch (Exception exception) // A bug of ours: this coordinator stops, and is opened again from what is stored; the process lives.
        {
            Fault(exception);
        }
    }

    private void Cancel(long number, CancellationToken cancellationToken)
    {
        PendingRequest? request;
        lock (_gate)
        {
            if (!_requests.Remove(number, out request) || _isClosed)
                return;
            _commands.Enqueue(new AbandonRequest(number));
        }
        request.TrySetCanceled(cancellationToken);
        Run();
    }

    private void RunOn()
    {
        lock (_gate)
            _isRunning = false;
        Run();
    }

    /// <summary>Carries out the effects, also those of the opening, and then one command, if there is one. Answers go out last: their
    /// callers find all other effects done, and the coordinator at rest where nothing more waits.</summary>
    private bool RunOne()
    {
        _core.TakeEffects(_effects);
        foreach (var effect in _effects)
            CarryOut(effect);
        List<(PendingRequest Request, object Result)>? answered;
        CoordinatorCommand? command;
        lock (_gate)
        {
            answered = TakeAnswered();
            if (!_commands.TryDequeue(out command))
                _isRunning = false;
        }
        foreach (var (request, result) in answered ?? [])
            request.TrySetResult(result);
        if (command is null)
        {
            if (IsVacant)
                Vacated?.Invoke();
            return false;
        }
        _core.Execute(command, _now.Read());
        return true;
    }

    /// <summary>Takes the answers out of the effects, which are done with. Abandoned requests have none.</summary>
    private List<(PendingRequest Request, object Result)>? TakeAnswered()
    {
        List<(PendingRequest, object)>? answered = null;
        foreach (var effect in _effects)
        {
            if (effect is Reply reply && _requests.Remove(reply.RequestId, out var request))
                (answered ??= new(1)).Add((request, reply.Result));
        }
        _effects.Clear();
        return answered;
    }

    private sealed class PendingRequest(ICoordinatorRequest body)
        : TaskCompletionSource<object>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public void Refuse(ErrorCode error, string message) => TrySetResult(body.Refuse(error, message));
    }
}
