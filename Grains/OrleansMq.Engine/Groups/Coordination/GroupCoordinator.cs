using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.Groups.Coordination;

/// <summary>
/// One group's coordinator: a <see cref="GroupCore"/> with its tasks, its timer and its store. Commands are carried out one at a time, in
/// the order in which they come, on the thread of one of those who bring them; an idle group has neither thread nor timer. Thread safe.
/// </summary>
public sealed partial class GroupCoordinator : IAsyncDisposable
{
    // So many commands a caller carries out before the rest is left to the thread pool: it also wants to go on.
    private const int MaxCommandsOfOneCaller = 64;

    private const string ClosedMessage = "The group's coordinator is closed: find the coordinator, and retry.";

    private readonly Lock _gate = new();
    // Bounded by those who wait for answers: each has one command here at most.
    private readonly Queue<GroupCommand> _commands = new();
    private readonly Dictionary<long, PendingRequest> _requests = [];
    private readonly List<GroupEffect> _effects = [];
    private readonly GroupCore _core;
    private readonly GroupStore _store;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private readonly IClusterMetadata _metadata;
    private readonly ITimer _timer;
    private GroupTopics _topics;
    private TaskCompletionSource? _idle;
    private long _lastRequest;
    private int _operations;
    private bool _isRunning;
    private bool _isClosed;

    private GroupCoordinator(string groupId, int brokerId, GroupStore store, StoredGroup stored, IClusterMetadata topics,
        GroupOptions options, TimeProvider time,
        EngineLog log)
    {
        GroupId = groupId;
        _store = store;
        _time = time;
        _log = log;
        _metadata = topics;
        _topics = GroupTopics.Of(topics.Image);
        _core = new GroupCore(groupId, brokerId, options, _topics, Guid.NewGuid(), stored, time.GetUtcNow());
        _timer = time.CreateTimer(_ => Post(new Wake()), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The group.</summary>
    public string GroupId { get; }

    /// <summary>Whether it answers requests no more: it was closed, or another coordinator owns the group. Open another.</summary>
    public bool IsClosed
    {
        get
        {
            lock (_gate)
                return _isClosed || _core.IsDeposed;
        }
    }

    /// <summary>Whether nothing would be lost if it was closed and opened again.</summary>
    public bool IsVacant
    {
        get
        {
            lock (_gate)
                return !_isRunning && _commands.Count == 0 && _requests.Count == 0 && _core.IsVacant;
        }
    }

    /// <summary>Reads a group and takes it up. Where something is stored of it, its coordinator before loses it; all members get a full
    /// session.</summary>
    /// <param name="groupId">Its id.</param>
    /// <param name="brokerId">The broker on which it is opened.</param>
    /// <param name="store">Where its documents are.</param>
    /// <param name="topics">The topics.</param>
    /// <param name="options">Bounds and times.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Where log lines go.</param>
    /// <param name="cancellationToken">Of the reading.</param>
    /// <exception cref="CorruptStateException">A document is damaged.</exception>
    public static async Task<GroupCoordinator> OpenAsync(string groupId, int brokerId, IStateStore store, IClusterMetadata topics,
        GroupOptions options, TimeProvider time,
        EngineLog log, CancellationToken cancellationToken = default)
    {
        var documents = new GroupStore(store, groupId);
        var stored = await documents.ReadAsync(cancellationToken).ConfigureAwait(false);
        var coordinator = new GroupCoordinator(groupId, brokerId, documents, stored, topics, options, time, log);
        topics.Changed += coordinator.OnTopicsChanged;
        coordinator.OnTopicsChanged(topics.Image);
        coordinator.Run();
        return coordinator;
    }

    /// <inheritdoc cref="IGroupCoordinator.SendAsync"/>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request.Answer(await AskAsync(request, cancellationToken).ConfigureAwait(false));

    /// <summary>Carries a request out.</summary>
    /// <param name="body">The request; its bytes must not be changed afterwards.</param>
    /// <param name="cancellationToken">Ends the wait. Whether the request was carried out is then unknown.</param>
    /// <returns>The answer, or the refusal that <see cref="IGroupRequest.Refuse"/> makes.</returns>
    public async ValueTask<object> AskAsync(IGroupRequest body, CancellationToken cancellationToken = default)
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
            var needsId = body is JoinGroup or ConsumerGroupHeartbeat;
            _commands.Enqueue(new GroupRequest(number, body, needsId ? Guid.NewGuid() : default));
        }
        Run();
        using var registration = request.Task.IsCompleted || !cancellationToken.CanBeCanceled
            ? default
            : cancellationToken.UnsafeRegister(_ => Cancel(number, cancellationToken), null);
        return await request.Task.ConfigureAwait(false);
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

    private void OnTopicsChanged(ClusterImage image)
    {
        var topics = GroupTopics.Of(image);
        lock (_gate)
        {
            if (topics.Version < _topics.Version)
                return; // The opening read an image, and a newer one came first.
            var isSame = topics.IsSameAs(_topics);
            _topics = topics; // Also where it is the same, so that all groups compare with the same one next time.
            if (isSame)
                return;
        }
        Post(new TopicsChanged(topics));
    }

    private void Post(GroupCommand command)
    {
        lock (_gate)
        {
            if (_isClosed)
                return;
            _commands.Enqueue(command);
        }
        Run();
    }

    /// <summary>Carries out what waits, unless another thread is at it.</summary>
    private void Run()
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
        catch (Exception exception) // A bug of ours: this group stops, and is opened again from what is stored; the process lives.
        {
            Fault(exception);
        }
    }

    private void RunOn()
    {
        lock (_gate)
            _isRunning = false;
        Run();
    }

    /// <summary>Carries out one command, if there is one; and the effects, also those of the opening. Who hears an answer finds all else of
    /// it done, and the group at rest where nothing more waits.</summary>
    private bool RunOne()
    {
        _core.TakeEffects(_effects);
        foreach (var effect in _effects)
            CarryOut(effect);
        List<(PendingRequest Request, object Result)>? answered;
        GroupCommand? command;
        lock (_gate)
        {
            answered = TakeAnswered();
            if (!_commands.TryDequeue(out command))
                _isRunning = false;
        }
        foreach (var (request, result) in answered ?? [])
            request.TrySetResult(result);
        if (command is null)
            return false;
        _core.Execute(command, _time.GetUtcNow());
        return true;
    }

    /// <summary>Takes the answers out of the effects, which are done with, and who waits for them; not those whose callers wait no
    /// longer.</summary>
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

    private sealed class PendingRequest(IGroupRequest body)
        : TaskCompletionSource<object>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public void Refuse(ErrorCode error, string message) => TrySetResult(body.Refuse(error, message));
    }
}
