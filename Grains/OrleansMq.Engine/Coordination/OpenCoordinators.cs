using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Coordination;

/// <summary>The coordinators of one kind on a broker that stands alone. Each is opened by its first request and stays open until it
/// is vacant. Thread safe.</summary>
/// <param name="kind">The kind of coordinator.</param>
/// <param name="open">Opens one, given the id of what it coordinates.</param>
/// <param name="log">The log.</param>
internal sealed class OpenCoordinators(CoordinatorKind kind, Func<string, Task<ICoordinator>> open, EngineLog log) : IAsyncDisposable
{
    // A coordinator ends by itself only where it has a bug, or where two brokers use one data directory, which its lock forbids. A second
    // new attempt would not help.
    private const int MaxAttempts = 2;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, OpenCoordinator> _open = new(StringComparer.Ordinal);
    private bool _isClosed;

    /// <summary>The number of open coordinators.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _open.Count;
        }
    }

    /// <summary>Whether a coordinator is open.</summary>
    public bool IsOpen(string id)
    {
        lock (_gate)
            return _open.ContainsKey(id);
    }

    /// <summary>Sends a request to a coordinator, opening it where it is not open.</summary>
    /// <param name="id">The id of what it coordinates.</param>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Ends the wait. Whether the request was carried out is then unknown.</param>
    /// <returns>The answer, or the refusal that <see cref="ICoordinatorRequest.Refuse"/> makes.</returns>
    public async ValueTask<object> AskAsync(string id, ICoordinatorRequest request, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            if (Rent(id) is not { } rented)
                return request.Refuse(ErrorCode.CoordinatorNotAvailable, "The broker stops: retry at another, or later.");
            try
            {
                var coordinator = await rented.Opening.WaitAsync(cancellationToken).ConfigureAwait(false);
                if (!coordinator.IsClosed || attempt == MaxAttempts)
                    return await coordinator.AskAsync(request, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                log.Write(EngineLogLevel.Error, $"{kind.Describe(id)} cannot be opened.", exception);
                return request.Refuse(ErrorCode.CoordinatorNotAvailable, $"The {kind.Noun} cannot be opened; retry: {exception.Message}");
            }
            finally
            {
                await ReturnAsync(id, rented).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Closes all coordinators: callers that wait are answered, and writes on their way to the store get there.</summary>
    public async ValueTask DisposeAsync()
    {
        List<OpenCoordinator> open;
        lock (_gate)
        {
            _isClosed = true;
            open = [.. _open.Values];
            _open.Clear();
        }
        foreach (var coordinator in open)
            await coordinator.CloseAsync().ConfigureAwait(false);
    }

    private OpenCoordinator? Rent(string id)
    {
        lock (_gate)
        {
            if (_isClosed)
                return null;
            if (!_open.TryGetValue(id, out var coordinator) || coordinator.IsEnded)
            {
                _open[id] = coordinator = new OpenCoordinator(Task.Run(() => open(id)));
                _ = CloseWhenVacatedAsync(id, coordinator);
            }
            coordinator.Users++;
            return coordinator;
        }
    }

    // A group can expire long after its last request.
    private async Task CloseWhenVacatedAsync(string id, OpenCoordinator coordinator)
    {
        await coordinator.Opening.ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
        if (coordinator.Opening.IsCompletedSuccessfully)
            coordinator.Opening.Result.Vacated += () => _ = CloseUnlessUsedAsync(id, coordinator);
    }

    private ValueTask ReturnAsync(string id, OpenCoordinator coordinator)
    {
        lock (_gate)
            coordinator.Users--;
        return CloseUnlessUsedAsync(id, coordinator);
    }

    private async ValueTask CloseUnlessUsedAsync(string id, OpenCoordinator coordinator)
    {
        lock (_gate)
        {
            if (coordinator.Users > 0 || coordinator.IsWorthKeeping)
                return;
            if (_open.TryGetValue(id, out var current) && current == coordinator)
                _open.Remove(id);
        }
        await coordinator.CloseAsync().ConfigureAwait(false);
    }

    private sealed class OpenCoordinator(Task<ICoordinator> opening)
    {
        public Task<ICoordinator> Opening { get; } = opening;

        public int Users { get; set; }

        /// <summary>Whether it could not be opened, or answers no more: the next request opens another.</summary>
        public bool IsEnded => Opening.IsCompleted && (!Opening.IsCompletedSuccessfully || Opening.Result.IsClosed);

        public bool IsWorthKeeping => !Opening.IsCompleted || (!IsEnded && !Opening.Result.IsVacant);

        public async ValueTask CloseAsync()
        {
            await Opening.ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
            if (Opening.IsCompletedSuccessfully)
                await Opening.Result.DisposeAsync().ConfigureAwait(false);
        }
    }
}
