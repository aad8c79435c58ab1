namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Appends a queue's messages in the order in which they came, one batch at a time: what comes while a batch is on its way shares the next
/// one. Thread safe.
/// <code>
/// idle    -- a message comes       --> storing    a batch of this message
/// storing -- a message comes       --> storing    it waits
/// storing -- the batch is answered --> storing, if messages wait; else idle
/// </code>
/// The queues of a message share its memory. A batch is a copy, since the leader stamps offsets and times into it: it is encoded for each
/// attempt to append it, once there is room.
/// </summary>
/// <remarks>A batch is stored as a whole, or not: its messages have one outcome. A failed batch does not hold back the next. What has
/// waited long behind it is not tried: batches may fail slowly, one after the other.</remarks>
/// <param name="store">Appends a batch of records.</param>
/// <param name="limits">Returns the most messages of a batch, and the most bytes, unless one message has more; null: those of
/// <see cref="MaxMessages"/> and <see cref="MaxBytes"/>.</param>
/// <param name="time">The clock; null: the system's.</param>
/// <param name="room">The room for the batches of all lanes; null: there is always room.</param>
internal sealed class PublishLane(Func<LaneBatch, Acks, Task<PublishOutcome>> store, Func<(int Messages, int Bytes)>? limits = null,
    TimeProvider? time = null, BatchRoom? room = null)
{
    /// <summary>The most messages of a batch.</summary>
    internal const int MaxMessages = 1000;

    /// <summary>The most bytes of a batch where its log takes more, unless one message has more.</summary>
    internal const int MaxBytes = 512 << 10;

    // What has waited longer behind a batch that failed is answered with it.
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(15);

    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly Lock _lock = new();
    private readonly Queue<Publish> _waiting = new();
    private bool _isStoring;

    /// <summary>Appends a message.</summary>
    /// <param name="message">The message.</param>
    /// <param name="priority">Its priority in the queue; null for none.</param>
    /// <param name="expiresAt">When it expires by its own time to live, in milliseconds since 1970; null for never.</param>
    public Task<PublishOutcome> AddAsync(AmqpMessage message, int? priority, long? expiresAt)
    {
        var publish = new Publish(message, priority, expiresAt, _time.GetTimestamp());
        lock (_lock)
        {
            _waiting.Enqueue(publish);
            if (_isStoring)
                return publish.Task;
            _isStoring = true;
        }
        _ = StoreAllAsync();
        return publish.Task;
    }

    // The next batch is on its way while the messages of the one before are answered.
    private async Task StoreAllAsync()
    {
        List<Publish>? answered = null;
        Task<PublishOutcome>? answer = null;
        var hasFailed = false;
        while (true)
        {
            var batch = Take();
            var storing = batch is null ? null : StoreAsync(batch, hasFailed);
            answered?.ForEach(publish => publish.Answer(answer!));
            if (batch is null)
                return;
            (answered, answer) = (batch, storing!);
            var isDone = answer.IsCompleted;
            await ((Task)answer).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            hasFailed = !answer.IsCompletedSuccessfully || answer.Result == PublishOutcome.Unknown;
            if (hasFailed)
                GiveUpLate();
            // The thread of a publisher does not store for the others.
            if (isDone && HasMore())
                await Task.Yield();
        }
    }

    private async Task<PublishOutcome> StoreAsync(List<Publish> batch, bool isSuspect) =>
        await store(new LaneBatch(batch, room, isSuspect, _time), AcksLevels.Of(Acks.All, batch[0].Message.IsPersistent))
            .ConfigureAwait(false);

    private bool HasMore()
    {
        lock (_lock)
            return _waiting.Count > 0;
    }

    private void GiveUpLate()
    {
        var late = new List<Publish>();
        lock (_lock)
        {
            while (_waiting.TryPeek(out var next) && _time.GetElapsedTime(next.Since) >= MaxWait)
                late.Add(_waiting.Dequeue());
        }
        late.ForEach(static publish => publish.SetResult(PublishOutcome.Unknown));
    }

    // Messages that must survive a power cut wait for the disk, and others do not.
    private List<Publish>? Take()
    {
        var (maxMessages, maxBytes) = limits?.Invoke() ?? (MaxMessages, MaxBytes);
        lock (_lock)
        {
            if (!_waiting.TryDequeue(out var first))
            {
                _isStoring = false;
                return null;
            }
            var batch = new List<Publish> { first };
            var bytes = (long)first.Message.Bytes;
            while (batch.Count < maxMessages && _waiting.TryPeek(out var next) && bytes + next.Message.Bytes <= maxBytes
                && next.Message.IsPersistent == first.Message.IsPersistent)
            {
                bytes += next.Message.Bytes;
                batch.Add(_waiting.Dequeue());
            }
            return batch;
        }
    }

    /// <summary>A message that waits for its outcome.</summary>
    internal sealed class Publish(AmqpMessage message, int? priority, long? expiresAt, long since) : TaskCompletionSource<PublishOutcome>
    {
        /// <summary>The message.</summary>
        public AmqpMessage Message => message;

        /// <summary>Its priority in the queue; null for none.</summary>
        public int? Priority => priority;

        /// <summary>When it expires by its own time to live, in milliseconds since 1970; null for never.</summary>
        public long? ExpiresAt => expiresAt;

        /// <summary>When it came, by the clock's timestamp.</summary>
        public long Since => since;

        /// <summary>Completes it with the answer to its batch.</summary>
        public void Answer(Task<PublishOutcome> answer) => SetFromTask(answer);
    }
}
