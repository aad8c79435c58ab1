using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A queue in this broker's memory: one that is not durable, and where several brokers serve the virtual host, was declared over a
/// connection of this one. It ends with its broker. It refuses what would take it beyond <see cref="MaxBytes"/>, ready and held messages
/// together.
/// <para>Under its lock: messages ready by priority and place, readers that wait in the order of their turn. Dead letters are published
/// outside of it (<see cref="LetterLane"/>); one that cannot be stored is lost, as the queue is with its broker.</para>
/// </summary>
internal sealed class MemoryQueue : IAmqpQueue
{
    /// <summary>The most bytes: 128 MiB.</summary>
    public const long MaxBytes = 128L << 20;

    private readonly Lock _lock = new();
    private readonly SortedSet<Item> _ready = new(Order.Instance);
    // In the order of their turn: by priority, then as they came.
    private readonly SortedSet<Reader> _waiting = new(Turns.Instance);
    private readonly HashSet<Reader> _readers = [];
    // What came with a time to live of 0, and may be handed out once.
    private readonly List<Item> _momentary = [];
    private readonly ITimer? _expiry;
    private QueueSettings _settings;
    private readonly LetterLane _letters;
    private readonly TimeProvider _time;
    private readonly MemoryBudget _memory;
    private long _next;
    private long _bytes;
    private long _readyBytes;
    private long _held;
    private long _heldBytes;
    private long _turns;
    private bool _isGone;

    public MemoryQueue(QueueState state, QueueSettings settings, IDeadLetters deadLetters, TimeProvider time, MemoryBudget memory)
    {
        (_settings, _time, _memory) = (settings, time, memory);
        _letters = new LetterLane((message, reason) => deadLetters.PublishAsync(message, state, _settings, reason), memory);
        _expiry = time.CreateTimer(_ => Run(NewWork()), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private long Now => _time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <inheritdoc/>
    public Task<PublishOutcome> PublishAsync(AmqpMessage message)
    {
        var work = NewWork();
        PublishOutcome outcome;
        lock (_lock)
        {
            var overflows = (_settings.MaxLength is { } length && _ready.Count + 1 > length)
                || (_settings.MaxLengthBytes is { } bytes && _readyBytes + message.Body.Length > bytes);
            if (_isGone)
                outcome = PublishOutcome.Gone;
            else if (_bytes + message.Bytes > MaxBytes)
                outcome = message.Bytes > MaxBytes ? PublishOutcome.TooLarge : PublishOutcome.Refused;
            else if (overflows && _settings.Overflow != OverflowBehavior.DropHead && !_waiting.Any(static reader => reader.CanTake))
            {
                outcome = message.Body.Length > _settings.MaxLengthBytes ? PublishOutcome.TooLarge : PublishOutcome.Refused;
                if (_settings.Overflow == OverflowBehavior.RejectPublishDeadLetter)
                    work.Kill(message, DeathReason.MaxLength);
            }
            else
            {
                outcome = PublishOutcome.Accepted;
                var priority = _settings.MaxPriority is { } most ? Math.Min(message.Properties.Priority ?? 0, most) : 0;
                Add(new Item(message, ++_next, priority, message.ExpiresAt(_settings.MessageTtl, message.Published)));
            }
        }
        Run(work);
        return Task.FromResult(outcome);
    }

    /// <inheritdoc/>
    public ValueTask<IQueueReader> AttachAsync(int priority) => new(Attach(priority));

    /// <summary>Attaches a reader.</summary>
    /// <param name="priority">Readers with a higher one receive first.</param>
    /// <param name="maxBytes">The most bytes that one receive returns, unless one message has more.</param>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public IQueueReader Attach(int priority, long maxBytes = long.MaxValue)
    {
        lock (_lock)
        {
            if (_isGone)
                throw new QueueGoneException();
            var reader = new Reader(this, priority, maxBytes, ++_turns);
            _readers.Add(reader);
            return reader;
        }
    }

    /// <inheritdoc/>
    public ValueTask<QueueCounts> CountAllAsync()
    {
        lock (_lock)
            return new(new QueueCounts(_ready.Count, _held, _readyBytes, _heldBytes));
    }

    /// <inheritdoc/>
    /// <remarks>A new time to live counts for what is published from now on.</remarks>
    public ValueTask ApplyAsync(QueueSettings settings)
    {
        lock (_lock)
            _settings = settings;
        Run(NewWork());
        return default;
    }

    /// <summary>The place of the last message that has come.</summary>
    public long LastPlace
    {
        get
        {
            lock (_lock)
                return _next;
        }
    }

    /// <inheritdoc/>
    public ValueTask<long> PurgeAsync() => new(Purge(long.MaxValue));

    /// <summary>Removes the ready messages up to a place. Returns their number.</summary>
    public long Purge(long end)
    {
        lock (_lock)
        {
            var items = _ready.Where(item => item.Position <= end).ToArray();
            foreach (var item in items)
            {
                _ready.Remove(item);
                _readyBytes -= item.Message.Body.Length;
                Forget(item);
            }
            return items.Length;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync()
    {
        Reader[] readers;
        lock (_lock)
        {
            if (_isGone)
                return;
            _isGone = true;
            foreach (var item in _ready.Concat(_readers.SelectMany(static reader => reader.Held.Values)))
                Forget(item);
            _ready.Clear();
            foreach (var reader in _readers)
                reader.Held.Clear();
            (_readyBytes, _held, _heldBytes) = (0, 0, 0);
            readers = [.. _waiting];
            _waiting.Clear();
        }
        foreach (var reader in readers)
            reader.Fail();
        if (_expiry is not null)
            await _expiry.DisposeAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => DeleteAsync();

    // Under the lock.
    private void Forget(Item item)
    {
        _bytes -= item.Message.Bytes;
        item.Message.Release(_memory);
    }

    private void Add(Item item)
    {
        _ready.Add(item);
        item.IsMomentary = item.ExpiresAt <= item.Message.Published;
        if (item.IsMomentary)
            _momentary.Add(item);
        _bytes += item.Message.Bytes;
        item.Message.Hold(_memory);
        _readyBytes += item.Message.Body.Length;
    }

    private Item TakeHead()
    {
        var head = _ready.Min!;
        _ready.Remove(head);
        _readyBytes -= head.Message.Body.Length;
        return head;
    }

    private void Drop(Work work, DeathReason reason)
    {
        var head = TakeHead();
        work.Kill(head.Message, reason);
        Forget(head);
    }

    // Drops what has expired at the head, hands out, drops what is too much, and carries out what follows from it.
    private void Run(Work work)
    {
        lock (_lock)
        {
            DropExpired(work);
            while (_ready.Count > 0 && NextReader() is { } reader)
            {
                _waiting.Remove(reader);
                work.Answers.Add((reader, Take(reader)));
                DropExpired(work);
            }
            _momentary.ForEach(static item => item.IsMomentary = false);
            _momentary.Clear();
            DropExpired(work);
            while (_settings.Overflow == OverflowBehavior.DropHead && _ready.Count > 0
                && (_ready.Count > _settings.MaxLength || _readyBytes > _settings.MaxLengthBytes))
                Drop(work, DeathReason.MaxLength);
            if (_ready.Min?.ExpiresAt is { } at && !_isGone)
                _expiry!.Change(TimeSpan.FromMilliseconds(Math.Clamp(at - Now, 1, int.MaxValue)), Timeout.InfiniteTimeSpan);
        }
        foreach (var (reader, items) in work.Answers)
            reader.Answer(items);
        if (work.Dead.Count > 0)
            _letters.Add(work.Dead);
    }

    private void DropExpired(Work work)
    {
        while (_ready.Min is { IsMomentary: false, ExpiresAt: { } at } && at <= Now)
            Drop(work, DeathReason.Expired);
    }

    // Of the readers with the highest priority the one that has waited longest; of a single active consumer's, the active one, and those
    // that receive beside it.
    private Reader? NextReader()
    {
        if (_settings.SingleActiveConsumer)
        {
            if (_waiting.FirstOrDefault(static reader => reader.Priority == IAmqpQueue.Beside) is { } beside)
                return beside;
            var active = _readers.FirstOrDefault(static reader => reader.IsActive)
                ?? _readers.Where(static reader => reader is { Priority: > IAmqpQueue.Beside, HasYielded: false })
                    .MinBy(static reader => (-(long)reader.Priority, reader.Number));
            if (active is not null)
                active.IsActive = true;
            return active is not null && _waiting.Contains(active) ? active : null;
        }
        return _waiting.Min;
    }

    private List<HeldMessage> Take(Reader reader)
    {
        var items = new List<HeldMessage>();
        // Readers that wait share what is there.
        var most = Math.Min(reader.Max, Math.Max(1, _ready.Count / (_waiting.Count + 1)));
        var bytes = 0L;
        while (items.Count < most && _ready.Count > 0 && (items.Count == 0
            || (!(_ready.Min!.ExpiresAt <= Now) && bytes + _ready.Min.Message.Bytes <= reader.MaxBytes)))
        {
            var item = TakeHead();
            bytes += item.Message.Bytes;
            reader.Held.Add(item.Position, item);
            Count(item, 1);
            items.Add(new HeldMessage(item.Message, new MessageHold(item.Position, item.Failures), item.WasDelivered));
            item.WasDelivered = true;
        }
        return items;
    }

    private void Settle(Reader reader, long position, Settlement settlement)
    {
        lock (_lock)
        {
            if (_isGone || !reader.Held.Remove(position, out var item))
                return;
            Count(item, -1);
            if (settlement == Settlement.Accept)
            {
                Forget(item);
                return;
            }
            if (settlement == Settlement.Fail)
                item.Failures++;
            _ready.Add(item);
            _readyBytes += item.Message.Body.Length;
        }
        Run(NewWork());
    }

    private void End(Reader reader)
    {
        bool isWaiting;
        lock (_lock)
        {
            isWaiting = _waiting.Remove(reader);
            _readers.Remove(reader);
            reader.HasEnded = true;
            // Of a queue that is gone none holds any.
            foreach (var item in reader.Held.Values)
            {
                Count(item, -1);
                _ready.Add(item);
                _readyBytes += item.Message.Body.Length;
            }
            reader.Held.Clear();
        }
        if (isWaiting)
            reader.Answer([]);
        Run(NewWork());
    }

    // Under the lock: a reader holds one more, or one less.
    private void Count(Item item, int change) =>
        (_held, _heldBytes) = (_held + change, _heldBytes + (change * item.Message.Body.Length));

    private Work NewWork() => new(_memory);

    private sealed class Work(MemoryBudget memory)
    {
        public List<(Reader Reader, List<HeldMessage> Items)> Answers { get; } = [];

        public List<(AmqpMessage Message, DeathReason Reason)> Dead { get; } = [];

        // It stays in memory until its letter is stored.
        public void Kill(AmqpMessage message, DeathReason reason)
        {
            message.Hold(memory);
            Dead.Add((message, reason));
        }
    }

    private sealed class Item(AmqpMessage message, long position, int priority, long? expiresAt)
    {
        public AmqpMessage Message { get; } = message;

        public long Position { get; } = position;

        public int Priority { get; } = priority;

        public long? ExpiresAt { get; } = expiresAt;

        public bool IsMomentary { get; set; }

        public bool WasDelivered { get; set; }

        public int Failures { get; set; }
    }

    private sealed class Order : IComparer<Item>
    {
        public static readonly Order Instance = new();

        public int Compare(Item? x, Item? y) =>
            x!.Priority != y!.Priority ? y.Priority.CompareTo(x.Priority) : x.Position.CompareTo(y.Position);
    }

    private sealed class Turns : IComparer<Reader>
    {
        public static readonly Turns Instance = new();

        public int Compare(Reader? x, Reader? y) =>
            x!.Priority != y!.Priority ? y.Priority.CompareTo(x.Priority) : x.Turn.CompareTo(y.Turn);
    }

    private sealed class Reader(MemoryQueue queue, int priority, long maxBytes, long number) : IQueueReader
    {
        private TaskCompletionSource<IReadOnlyList<HeldMessage>>? _answer;

        public int Priority { get; } = priority;

        // As the readers were attached.
        public long Number => number;

        // Set only while it does not wait.
        public long Turn { get; private set; }

        public bool HasEnded { get; set; }

        public int Max { get; private set; }

        public long MaxBytes => maxBytes;

        public bool IsActive { get; set; }

        public bool KeepsMessages => true;

        public bool HasYielded { get; private set; }

        public bool CanTake => Max > 0;

        public Dictionary<long, Item> Held { get; } = [];

        public async ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
        {
            var answer = new TaskCompletionSource<IReadOnlyList<HeldMessage>>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (queue._lock)
            {
                if (queue._isGone)
                    throw new QueueGoneException();
                // A question about a reader of another broker may come with its end.
                if (HasEnded)
                    return [];
                (_answer, Max, Turn) = (answer, max, ++queue._turns);
                queue._waiting.Add(this);
            }
            queue.Run(queue.NewWork());
            using var cancelled = cancellationToken.Register(Stop);
            if (maxWait == TimeSpan.Zero)
                Stop();
            using var timer = answer.Task.IsCompleted ? null
                : queue._time.CreateTimer(_ => Stop(), null, maxWait, Timeout.InfiniteTimeSpan);
            try
            {
                return await answer.Task.ConfigureAwait(false);
            }
            finally
            {
                // It does not keep messages that are settled.
                _answer = null;
            }
        }

        public Task SettleAsync(MessageHold hold, Settlement settlement, TimeSpan delay = default)
        {
            queue.Settle(this, hold.Position, settlement);
            return Task.CompletedTask;
        }

        public Task YieldAsync()
        {
            Stop();
            lock (queue._lock)
                (IsActive, HasYielded) = (false, true);
            queue.Run(queue.NewWork());
            return Task.CompletedTask;
        }

        public ValueTask<AmqpMessage?> ReadAsync(MessageHold hold)
        {
            lock (queue._lock)
                return new(Held.GetValueOrDefault(hold.Position)?.Message);
        }

        public ValueTask DisposeAsync()
        {
            queue.End(this);
            return default;
        }

        public void Answer(IReadOnlyList<HeldMessage> messages) => _answer!.SetResult(messages);

        public void Fail() => _answer!.TrySetException(new QueueGoneException());

        // Without an answer that is on its way.
        private void Stop()
        {
            bool isWaiting;
            lock (queue._lock)
                isWaiting = queue._waiting.Remove(this);
            if (isWaiting)
                _answer!.SetResult([]);
        }
    }
}
