using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>
/// A replay of a subscription that a grain has by its class. It belongs to the activation that gave the token. A reading passes it the
/// events from the token on, and it passes them to the activation, in turns of it. Meanwhile the activation takes nothing from the class's
/// cursor that the replay has not had.
/// </summary>
/// <param name="subscription">The subscription.</param>
/// <param name="place">Where the subscription has its events.</param>
/// <param name="from">The first offset.</param>
/// <param name="consumer">The activation's subscriptions.</param>
/// <param name="client">The broker.</param>
internal sealed class ActivationReplay(Guid subscription, ClassPlace place, long from, StreamConsumer consumer, OrleansMqClient client)
    : IStreamObserver
{
    /// <summary>The most events that it has passed over and the class's cursor may not have settled.</summary>
    internal const int MostRefused = 1_000;

    private static readonly OffsetSpec StableEnd = OffsetSpec.LatestProven with { Isolation = IsolationLevel.ReadCommitted };
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    private const long None = -1;

    private readonly CancellationTokenSource _left = new();
    private Func<Guid, Task<bool>>? _turns;
    private StreamReading? _reading;
    private Func<Task>? _work;
    private long _observed = None;
    private volatile bool _isOver;
    // What it has given up, and the activation has not answered. Of the reading.
    private (long Offset, Exception Cause)? _givenUp;
    private long? _end;
    private long? _looked;

    /// <summary>Its id.</summary>
    public Guid Id { get; } = Guid.NewGuid();

    /// <summary>The subscription.</summary>
    public Guid Subscription => subscription;

    /// <summary>Where the subscription has its events.</summary>
    public ClassPlace Place => place;

    /// <summary>The first offset that it has not handled. Of the activation's turns.</summary>
    public long Next { get; set; } = from;

    /// <summary>The first of its events that the observer has now, by its offset; null: none. Set in the activation's turns, read by its
    /// reading.</summary>
    public long? Observed
    {
        get => Volatile.Read(ref _observed) is var offset and not None ? offset : null;
        set => Volatile.Write(ref _observed, value ?? None);
    }

    /// <summary>Whether it makes no calls any more.</summary>
    public bool HasLeft => _left.IsCancellationRequested;

    /// <summary>Whether the activation has ended it, at the end of its reading. Set in the activation's turns.</summary>
    public bool IsOver
    {
        get => _isOver;
        set => _isOver = value;
    }

    /// <summary>An offset below which the class's cursor has settled everything.</summary>
    public long Floor { get; private set; }

    /// <inheritdoc/>
    public bool TakesBatches => true;

    /// <inheritdoc/>
    public bool NamesCause => true;

    /// <summary>Begins to read. The activation has the replay.</summary>
    /// <param name="reading">Reads for it.</param>
    /// <param name="readings">Has it follow the reading of the replay before.</param>
    /// <param name="turns">Has the activation carry out <see cref="RunAsync"/>; false: another activation was called.</param>
    /// <param name="deactivated">Completes when the activation has ended.</param>
    /// <param name="stopping">The silo stops. The activation takes nothing that the replay has not had, also after that.</param>
    public void Begin(StreamReading reading, ReplayReadings readings, Func<Guid, Task<bool>> turns, Task deactivated,
        CancellationToken stopping)
    {
        (_turns, _reading) = (turns, reading);
        readings.Begin(subscription, reading, this, new StreamBegin(place.TopicId, Next), Leave);
        _ = LeaveAsync(Task.WhenAny(reading.Running, deactivated), stopping);
    }

    /// <summary>Ends its reading: the activation has ended it.</summary>
    public void Leave()
    {
        // First: what the reading waits for then fails, and is not tried again.
        _reading?.End();
        _ = _left.CancelAsync();
    }

    /// <inheritdoc/>
    public async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, int first, int end, IServiceProvider services)
    {
        // Its attempts are used up: the reading, which has begun again since then, does not count them once more.
        if (_givenUp is var (offset, cause))
            await GivenUpAsync(offset, cause).ConfigureAwait(false);
        DeliveryAnswer answer;
        try
        {
            answer = await InTurnAsync(() => consumer.ObserveAsync(this, delivery, first, end)).ConfigureAwait(false);
        }
        catch (TimeoutException timeout)
        {
            // A call that still waited for its turn has not failed.
            if (Observed is not { } observed || Array.FindIndex(delivery.Items, first, end - first, item => item.Offset == observed)
                is not (>= 0 and var index))
                throw;
            return new DeliveryAnswer(index - first, DeliveryOutcome.Failed, $"The observer has not answered. {Causes.Of(timeout)}");
        }
        if (answer.Outcome != DeliveryOutcome.Removed)
            return answer;
        Leave();
        throw new OperationCanceledException(_left.Token);
    }

    /// <inheritdoc/>
    public async Task<Exception?> GivenUpAsync(long offset, Exception cause)
    {
        _givenUp = (offset, cause);
        var thrown = await InTurnAsync(() => consumer.GiveUpAsync(this, offset, cause)).ConfigureAwait(false);
        _givenUp = null;
        return thrown;
    }

    /// <summary>Returns whether it ends, and ends it then. Asked when its reading connects, when the position has moved, and about every
    /// second.</summary>
    /// <param name="position">The position of its reading.</param>
    /// <param name="topicId">The topic that it reads.</param>
    /// <param name="ending">Ends the call.</param>
    public async Task<bool> EndsAsync(long position, Guid topicId, CancellationToken ending)
    {
        // The answer to an earlier call was lost.
        if (IsOver)
            return true;
        // Asked for when the activation has the replay: what its cursor had settled before is below it.
        _end ??= await FindEndAsync(ending).ConfigureAwait(false);
        if (topicId == place.TopicId && position < _end && _looked is { } last && TimeProvider.System.GetElapsedTime(last) < LookInterval)
            return false;
        // With another topic of that name the cursor is another one, too.
        var isSame = await HasCursorAsync(ending).ConfigureAwait(false);
        _looked = TimeProvider.System.GetTimestamp();
        if (isSame && position < _end)
            return false;
        return await InTurnAsync(() => consumer.EndAsync(this, isSame ? position : null)).ConfigureAwait(false);
    }

    /// <summary>Carries out what it has to do next, in a turn of the activation.</summary>
    public Task RunAsync() => Interlocked.Exchange(ref _work, null)?.Invoke() ?? Task.CompletedTask;

    // One at a time. What an earlier call did not reach is never carried out.
    private async Task<T> InTurnAsync<T>(Func<Task<T>> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _work, async () =>
        {
            try
            {
                done.SetResult(await work());
            }
            catch (Exception thrown)
            {
                done.SetException(thrown);
            }
        });
        _left.Token.ThrowIfCancellationRequested();
        try
        {
            if (!await _turns!(Id).WaitAsync(_left.Token).ConfigureAwait(false))
            {
                _left.Token.ThrowIfCancellationRequested();
                throw new BrokerException(ErrorCode.LeaderNotAvailable, "Another activation of the grain was called than that with the "
                    + $"replay of subscription {subscription}.");
            }
        }
        catch (OperationCanceledException) when (done.Task.IsCompleted)
        {
            // It was carried out, and its activation has ended with it: a failure counts.
        }
        return await done.Task.WaitAsync(_left.Token).ConfigureAwait(false);
    }

    private async Task LeaveAsync(Task over, CancellationToken stopping)
    {
        await over.WaitAsync(stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Leave();
    }

    private async Task<long> FindEndAsync(CancellationToken cancellationToken)
    {
        var end = await client.Broker.FindOffsetAsync(place.Partition, StableEnd, cancellationToken).ConfigureAwait(false);
        return end.Error == ErrorCode.None ? end.Offset
            : throw new BrokerException(end.Error, end.Message ?? $"The end of {place.Partition} is not known now: {end.Error}.");
    }

    // False: it was deleted or reset.
    private async Task<bool> HasCursorAsync(CancellationToken cancellationToken)
    {
        try
        {
            var found = await client.Broker.Queues.DescribeAsync(place.Partition, place.QueueName, cancellationToken)
                .ConfigureAwait(false);
            Floor = Math.Max(Floor, found.Id == place.Queue ? found.Floor : 0);
            return found.Id == place.Queue;
        }
        catch (BrokerException gone) when (gone.Code is ErrorCode.GroupIdNotFound)
        {
            return false;
        }
    }
}

/// <summary>Where a subscription that a grain has by its class has its events.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Partition">The partition of the stream's key.</param>
/// <param name="QueueName">The name of the class's cursor.</param>
/// <param name="Queue">Its id.</param>
internal sealed record ClassPlace(Guid TopicId, TopicPartition Partition, string QueueName, Guid Queue);
