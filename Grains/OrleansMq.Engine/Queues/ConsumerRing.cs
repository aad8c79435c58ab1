namespace OrleansMq.Queues;

/// <summary>A consumer at the leader.</summary>
internal sealed class Consumer(Attach attach, int priority)
{
    public long Attachment { get; } = attach.Attachment;
    public int Priority { get; } = priority;
    public bool IsWindow { get; } = attach.IsWindow;
    public long LockDurationMs { get; set; } = attach.LockDurationMs;
    public bool IsBuffered { get; } = attach.IsBuffered;
    public int KeyRun { get; } = attach.KeyRun;
    public int KeyRunReserve { get; } = attach.KeyRunReserve;
    /// <summary>The number of records that it still takes.</summary>
    public int Credit { get; set; }
    /// <summary>The records that it holds.</summary>
    public HashSet<long> Held { get; } = [];
    /// <summary>Whether it stands in the ring.</summary>
    public bool IsInRing { get; set; }
    public bool IsAttached { get; set; } = true;
    /// <summary>Whether it receives nothing more.</summary>
    public bool HasYielded { get; set; }
}

/// <summary>Gives consumers with credit their turns: the highest priority first, in a circle within one. Each step takes constant time,
/// whatever their number.</summary>
internal sealed class ConsumerRing
{
    private readonly Dictionary<long, Consumer> _consumers = [];
    // A consumer that left or has no credit is dropped when its turn comes.
    private readonly SortedDictionary<int, Queue<Consumer>> _turns = [];
    private readonly List<Consumer> _beside = [];
    private int _taken;

    /// <summary>The priority of consumers that receive beside <see cref="Active"/>, and are never it.</summary>
    public const int Beside = int.MinValue;

    /// <summary>The number of priorities that have turns.</summary>
    public int Priorities => _turns.Count;

    public Consumer? Find(long attachment) => _consumers.GetValueOrDefault(attachment);

    /// <summary>With a single active consumer, the one that receives until it leaves, or gives its turn up. The next is that of the highest
    /// priority, and of those the oldest.</summary>
    public Consumer? Active { get; private set; }

    public void Attach(Consumer consumer)
    {
        _consumers[consumer.Attachment] = consumer;
        if (consumer.Priority == Beside)
            _beside.Add(consumer);
        else
            Active ??= consumer;
    }

    public void Detach(Consumer consumer)
    {
        consumer.IsAttached = false;
        _consumers.Remove(consumer.Attachment);
        _beside.Remove(consumer);
        EndTurn(consumer);
    }

    /// <summary>A consumer receives nothing more.</summary>
    public void Yield(Consumer consumer)
    {
        (consumer.HasYielded, consumer.Credit) = (true, 0);
        EndTurn(consumer);
    }

    private void EndTurn(Consumer consumer)
    {
        if (Active == consumer)
            Active = _consumers.Values.Where(static other => other is { Priority: > Beside, HasYielded: false })
                .OrderByDescending(static other => other.Priority).ThenBy(static other => other.Attachment).FirstOrDefault();
    }

    /// <summary>With a single active consumer, one that receives beside it; null if none takes records.</summary>
    public Consumer? PeekBeside() => _beside.Find(static consumer => consumer.Credit > 0);

    public void AddCredit(Consumer consumer, int credit)
    {
        if (consumer.HasYielded)
            return;
        consumer.Credit += credit;
        if (consumer is not { IsAttached: true, IsInRing: false, Credit: > 0 })
            return;
        if (!_turns.TryGetValue(-consumer.Priority, out var turns))
            _turns[-consumer.Priority] = turns = new Queue<Consumer>();
        turns.Enqueue(consumer);
        consumer.IsInRing = true;
    }

    /// <summary>Returns the consumer whose turn it is; null if none takes records.</summary>
    public Consumer? Peek()
    {
        while (true)
        {
            int? empty = null;
            foreach (var (order, turns) in _turns)
            {
                while (turns.TryPeek(out var consumer))
                {
                    if (consumer is { IsAttached: true, Credit: > 0 })
                        return consumer;
                    turns.Dequeue();
                    consumer.IsInRing = false;
                    _taken = 0;
                }
                empty = order;
                break;
            }
            if (empty is not { } gone)
                return null;
            _turns.Remove(gone);
        }
    }

    /// <summary>The consumer whose turn it is took a record.</summary>
    public void Took(Consumer consumer, int recordsPerTurn)
    {
        consumer.Credit--;
        if (!consumer.IsInRing || ++_taken < recordsPerTurn)
            return;
        _taken = 0;
        var turns = _turns[-consumer.Priority];
        if (turns.Peek() == consumer)
            turns.Enqueue(turns.Dequeue());
    }
}
