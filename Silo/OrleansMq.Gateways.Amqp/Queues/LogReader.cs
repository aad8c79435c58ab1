using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A reader of a <see cref="LogQueue"/>: a consumer of its cursor. Settlements collect while one call is on its way, and follow together in
/// the next. The session is kept alive while the reader has no credit to receive with.
/// <para>
/// Failures: where the partition's leader changes, the session ends. The reader attaches again, and what it held is delivered once more. So
/// it does after a receive or a settlement without an answer: the leader may hold messages that never came, or that the client has settled.
/// The session of a broker that died ends after <see cref="SharedTimeout"/>. A leader that stores nothing, such as one below its least
/// in-sync replicas, is asked for as long as commands wait for one; a reader that ends waits for seconds. What it holds then returns.
/// </para>
/// </summary>
/// <param name="queue">The queue.</param>
/// <param name="priority">Readers with a higher one receive first.</param>
internal sealed class LogReader(LogQueue queue, int priority)
    : SettlingReader<(Guid Consumer, QueueSettlement Settlement)>, IQueueReader
{
    // The most that one call settles.
    private const int MaxSettlements = 1000;
    private const int MaxEnded = 256;
    // What the engine allows.
    private static readonly TimeSpan MaxDelay = TimeSpan.FromDays(366);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan SoleTimeout = TimeSpan.FromMinutes(5);
    // A leader that was paused for less keeps its sessions; messages of a dead broker's consumers come to others after it.
    private static readonly TimeSpan SharedTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan LastSettlements = TimeSpan.FromSeconds(5);
    // How long a receive that is cancelled waits for the dead letters that it has begun.
    private static readonly TimeSpan LastLetters = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private Task _ending = Task.CompletedTask;
    private ITimer? _keepAlive;
    private Guid _consumer;
    private long _ended;
    // The session has ended, or is given up.
    private volatile bool _isBroken;

    private TimeSpan SessionTimeout => queue.IsShared ? SharedTimeout : SoleTimeout;

    /// <summary>The messages that it has dead-lettered, or dropped.</summary>
    public long Ended => Interlocked.Read(ref _ended);

    /// <summary>Attaches it.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public async Task AttachAsync()
    {
        try
        {
            _consumer = await queue.Broker.Queues.AttachAsync(queue.Partition, queue.Cursor, new QueueAttachOptions
            {
                Priority = priority,
                SessionTimeout = SessionTimeout,
            }).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            throw new QueueGoneException(gone);
        }
        _isBroken = false;
        _keepAlive ??= queue.Time.CreateTimer(_ => KeepAlive(), null, SessionTimeout / 4, SessionTimeout / 4);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        var began = queue.Time.GetTimestamp();
        while (true)
        {
            try
            {
                if (_isBroken)
                    await AttachAnewAsync().ConfigureAwait(false);
                var delivery = await queue.Broker.Queues.ReceiveAsync(queue.Partition, _consumer, max, maxWait, cancellationToken)
                    .ConfigureAwait(false);
                var kept = delivery is null ? [] : await KeepAsync(delivery, cancellationToken).ConfigureAwait(false);
                // Behind those that have ended there may be others.
                if (delivery is null || kept.Count > 0 || maxWait > TimeSpan.Zero || queue.Time.GetElapsedTime(began) >= LogQueue.Patience)
                    return kept;
                continue;
            }
            catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
            {
                throw new QueueGoneException(gone);
            }
            catch (BrokerException ended) when (ended.Code is ErrorCode.UnknownMemberId or ErrorCode.RequestTimedOut)
            {
                _isBroken = true;
            }
            catch (BrokerException fault) when (fault.Action == ErrorAction.Retry)
            {
                // The partition has no leader now, or one that may not hand out yet.
            }
            if (maxWait > TimeSpan.Zero)
            {
                await Task.Delay(RetryPause, queue.Time, cancellationToken).ConfigureAwait(false);
                return [];
            }
            // Nothing is an answer only where a leader gave it.
            if (queue.Time.GetElapsedTime(began) >= LogQueue.Patience)
                throw new BrokerException(ErrorCode.LeaderNotAvailable, $"Queue '{queue.State.Name}' has no leader that can hand out "
                    + $"messages for {LogQueue.Patience.TotalSeconds:0} seconds. Check that enough brokers run.");
            await Task.Delay(RetryPause, queue.Time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public Task SettleAsync(MessageHold hold, Settlement settlement, TimeSpan delay = default)
    {
        var held = (LogHold)hold;
        TimeSpan? wait = delay > TimeSpan.Zero ? delay < MaxDelay ? delay : MaxDelay : null;
        var action = settlement switch
        {
            Settlement.Accept => QueueAction.Accept,
            Settlement.Fail => QueueAction.Fail,
            _ => QueueAction.Release,
        };
        return AddSettlement((held.Consumer, new QueueSettlement(held.Lock, held.Position, held.Position, action) { Delay = wait }));
    }

    /// <inheritdoc/>
    public async Task YieldAsync()
    {
        try
        {
            await queue.Broker.Queues.ReceiveAsync(queue.Partition, _consumer, 0, TimeSpan.Zero).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            // Its session has ended, and its turn with it; or the leader is of an earlier version, and the turn ends with what it holds.
            queue.Log.Write(EngineLogLevel.Debug, $"A consumer of queue '{queue.State.Name}' did not give its turn up: {fault.Message}");
        }
    }

    /// <inheritdoc/>
    public ValueTask<AmqpMessage?> ReadAsync(MessageHold hold) => queue.ReadAsync(hold.Position);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_keepAlive is not null)
            await _keepAlive.DisposeAsync().ConfigureAwait(false);
        await LettersEndedAsync().WaitAsync(LastSettlements, queue.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // What is not in force yet follows, or the message comes again.
        await Settling.WaitAsync(LastSettlements, queue.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await DetachAsync().ConfigureAwait(false);
    }

    // What the session holds returns to its place.
    private async Task DetachAsync()
    {
        try
        {
            await queue.Broker.Queues.DetachAsync(queue.Partition, _consumer).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            // What it holds returns as its session ends.
            queue.Log.Write(EngineLogLevel.Debug, $"A consumer of queue '{queue.State.Name}' was not detached: {fault.Message}");
        }
    }

    // The settlements of the client come first, where the leader takes them.
    private async Task AttachAnewAsync()
    {
        await Task.WhenAny(Settling, Task.Delay(LastSettlements, queue.Time)).ConfigureAwait(false);
        await DetachAsync().ConfigureAwait(false);
        await AttachAsync().ConfigureAwait(false);
    }

    // Of dead letters the queue keeps none; the others go to the channel.
    private async Task<IReadOnlyList<HeldMessage>> KeepAsync(QueueDelivery delivery, CancellationToken cancellationToken)
    {
        var messages = new List<HeldMessage>(delivery.Records.Count);
        var dead = new List<(HeldMessage Message, DeathReason Reason)>();
        foreach (var record in delivery.Records)
        {
            var message = new HeldMessage(MessageRecords.Decode(record, queue.State.Name),
                new LogHold(record.Offset, record.Failures, delivery.Lock, _consumer), record.IsRedelivered);
            if (DeathOf(message, record.Timestamp) is not { } reason)
                messages.Add(message);
            else
                dead.Add((message, reason));
        }
        if (dead.Count > 0)
            await BeginToEndAsync(dead, cancellationToken).ConfigureAwait(false);
        return messages;
    }

    // A receive waits for the letters of its delivery, so that they are no more than a queue can store. It waits for none that may be
    // stuck, and not for long where it is cancelled: they settle their messages all the same.
    private async Task BeginToEndAsync(List<(HeldMessage Message, DeathReason Reason)> dead, CancellationToken cancellationToken)
    {
        var areStuck = queue.Letters.AreStuck;
        var ending = EndAllAsync(dead, areOver: true);
        if (ending.IsCompleted)
            return;
        lock (_lock)
            _ending = _ending.IsCompleted ? ending : Task.WhenAll(_ending, ending);
        if (areStuck)
            return;
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var registration = cancellationToken.Register(() => cancelled.TrySetResult());
        if (await Task.WhenAny(ending, cancelled.Task).ConfigureAwait(false) != ending)
            await Task.WhenAny(ending, Task.Delay(LastLetters, queue.Time)).ConfigureAwait(false);
    }

    /// <summary>Waits for the dead letters that have begun, and until what they settle is stored, or given up.</summary>
    public async Task EndedAsync()
    {
        await LettersEndedAsync().ConfigureAwait(false);
        await Settling.ConfigureAwait(false);
    }

    private Task LettersEndedAsync()
    {
        lock (_lock)
            return _ending;
    }

    private DeathReason? DeathOf(HeldMessage message, long appended) =>
        queue.Settings.DeliveryLimit is { } limit && message.Hold.Failures > limit ? DeathReason.DeliveryLimit
            : queue.Settings.DeadLetterExchange is not null
                && message.Message.ExpiresOnLogAt(queue.Settings.MessageTtl, appended) <= queue.Time.GetUtcNow().ToUnixTimeMilliseconds()
                ? DeathReason.Expired : null;

    /// <summary>Dead-letters the first messages that no consumer holds: as many as are too many, and further ones as long as their bodies
    /// are too large. Some at a call.</summary>
    /// <param name="messages">The messages that are too many.</param>
    /// <param name="bytes">The bytes of bodies that are too many.</param>
    /// <param name="reason">Why they end.</param>
    public async Task EndHeadAsync(long messages, long bytes, DeathReason reason)
    {
        for (var left = MaxEnded; left > 0 && (messages > 0 || bytes > 0);)
        {
            var before = Ended;
            // The size of a message is known when it is received.
            var received = await ReceiveAsync(messages > 0 ? (int)Math.Min(messages, left) : 1, TimeSpan.Zero, CancellationToken.None)
                .ConfigureAwait(false);
            if (received.Count > 0)
                await EndAllAsync([.. received.Select(message => (message, reason))], areOver: false).ConfigureAwait(false);
            foreach (var message in received)
                (messages, bytes, left) = (messages - 1, bytes - message.Message.Body.Length, left - 1);
            // Others have expired, or could not be dead-lettered: what is too much is counted again.
            if (received.Count == 0 || Ended != before + received.Count)
                break;
        }
        await Settling.WaitAsync(LastSettlements, queue.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // Those stay whose letters are not stored. A message that is over waits then, since it is not delivered: others behind it are. One
    // that is too many may still be consumed, and returns at once.
    private async Task EndAllAsync(List<(HeldMessage Message, DeathReason Reason)> dead, bool areOver)
    {
        var areStored = await queue.Letters.TryPublishAsync(dead).ConfigureAwait(false);
        for (var index = 0; index < dead.Count; index++)
        {
            var hold = dead[index].Message.Hold;
            if (areStored?[index] == true)
            {
                Interlocked.Increment(ref _ended);
                _ = SettleAsync(hold, Settlement.Accept);
            }
            else
                _ = SettleAsync(hold, Settlement.Return, areOver ? queue.Letters.WaitOf(hold.Position) : TimeSpan.Zero);
        }
    }

    private void KeepAlive()
    {
        if (!_isBroken)
            BeginRound();
    }

    /// <inheritdoc/>
    /// <remarks>Neighbours of a delivery become one.</remarks>
    protected override void Add(List<(Guid Consumer, QueueSettlement Settlement)> waiting,
        (Guid Consumer, QueueSettlement Settlement) settlement)
    {
        var next = settlement.Settlement;
        if (waiting.Count > 0 && waiting[^1] is var (consumer, last) && consumer == settlement.Consumer && last.Lock == next.Lock
            && last.Action == next.Action && last.Last + 1 == next.First && last.Delay == next.Delay)
            waiting[^1] = (consumer, last with { Last = next.Last });
        else
            waiting.Add(settlement);
    }

    /// <inheritdoc/>
    /// <remarks>Of nothing, it keeps the session alive.</remarks>
    protected override async Task<Exception?> SettleRoundAsync(List<(Guid Consumer, QueueSettlement Settlement)> settlements)
    {
        Exception? fault = null;
        foreach (var group in settlements.GroupBy(static item => item.Consumer))
        {
            foreach (var part in group.Select(static item => item.Settlement).Chunk(MaxSettlements))
                fault = await TrySettleAsync(group.Key, part).ConfigureAwait(false) ?? fault;
        }
        if (settlements.Count == 0)
            await TrySettleAsync(_consumer, []).ConfigureAwait(false);
        else
            queue.HeadMayChange();
        return fault;
    }

    // Returns why some are not known to be stored.
    private async Task<Exception?> TrySettleAsync(Guid consumer, QueueSettlement[] settlements)
    {
        try
        {
            return await SettleAsync(consumer, settlements).ConfigureAwait(false) ? null
                : throw new BrokerException(ErrorCode.InvalidRecordState, "The partition's leader changed, or the locks have ended.");
        }
        catch (Exception fault)
        {
            if (settlements.Length > 0)
                queue.Log.Write(EngineLogLevel.Warning, $"Settlements of queue '{queue.State.Name}' were not stored; their messages may be "
                    + $"delivered again: {fault.Message}");
            return fault;
        }
    }

    // Returns whether all are stored.
    private async Task<bool> SettleAsync(Guid consumer, QueueSettlement[] settlements)
    {
        var areStored = true;
        var began = queue.Time.GetTimestamp();
        while (true)
        {
            try
            {
                var answers = await queue.Broker.Queues.SettleAsync(queue.Partition, consumer, settlements).ConfigureAwait(false);
                areStored &= !answers.Contains(ErrorCode.InvalidRecordState);
                // The others are in force, or have lost their locks.
                settlements = [.. settlements.Where((_, i) => answers[i].Action() == ErrorAction.Retry)];
                if (settlements.Length == 0)
                    return areStored;
                if (IsLate())
                    throw new BrokerException(ErrorCode.RequestTimedOut, "The partition's leader stored nothing for too long.");
            }
            catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
            {
                return true;
            }
            catch (BrokerException ended) when (ended.Code == ErrorCode.UnknownMemberId)
            {
                // What was not stored is delivered again.
                return settlements.Length == 0;
            }
            catch (BrokerException fault) when (fault.Action == ErrorAction.Retry && !IsLate())
            {
                // A settlement that was stored already does nothing.
            }
            catch (BrokerException) when (consumer == _consumer)
            {
                // The leader would hold what the client has settled.
                _isBroken = true;
                throw;
            }
            await Task.Delay(RetryPause, queue.Time).ConfigureAwait(false);
        }

        bool IsLate() => queue.Time.GetElapsedTime(began) >= LogQueue.Patience;
    }

    private sealed record LogHold(long Position, int Failures, QueueLock Lock, Guid Consumer) : MessageHold(Position, Failures)
    {
        public override Guid Queue => Lock.Queue;
    }
}
