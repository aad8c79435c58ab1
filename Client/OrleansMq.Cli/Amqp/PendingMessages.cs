namespace OrleansMq.Cli.Amqp;

/// <summary>
/// The messages on their way, in their order: taken from the source, and not settled there. One acknowledgement settles all messages up
/// to it, so a message is settled when it and all before it are confirmed. Confirms stand where a target is lost: those that it has not
/// confirmed are published again at the next one, from number 1. Those that a target refuses wait to be published again, with the messages
/// that come meanwhile.
/// </summary>
internal sealed class PendingMessages
{
    private readonly Queue<Entry> _messages = new();
    // Those that are published and not confirmed, by number.
    private readonly Dictionary<ulong, Entry> _unconfirmed = [];
    private ulong _next = 1;
    // No number below it is unconfirmed.
    private ulong _lowest = 1;

    /// <summary>The number of messages.</summary>
    public int Count => _messages.Count;

    /// <summary>Whether the target has yet to answer for a message.</summary>
    public bool IsAnyOnItsWay => _unconfirmed.Count > 0;

    /// <summary>The messages that are confirmed behind one that is not, in their order: they can be settled one by one.</summary>
    public IEnumerable<ShovelEvent.Delivered> Confirmed =>
        _messages.Where(static entry => entry.IsConfirmed).Select(static entry => entry.Message);

    /// <summary>The messages that are not confirmed, in their order.</summary>
    public IEnumerable<ShovelEvent.Delivered> Unconfirmed =>
        _messages.Where(static entry => !entry.IsConfirmed).Select(static entry => entry.Message);

    /// <summary>Adds the message that is published next. Its number is one above that of the message before.</summary>
    public void Add(ShovelEvent.Delivered message)
    {
        var entry = new Entry(message);
        _messages.Enqueue(entry);
        _unconfirmed.Add(_next++, entry);
    }

    /// <summary>Adds a message that waits.</summary>
    public void AddWaiting(ShovelEvent.Delivered message) => _messages.Enqueue(new Entry(message) { IsWaiting = true });

    /// <summary>The target refused messages: they wait.</summary>
    /// <param name="number">The number of the published message, from 1.</param>
    /// <param name="multiple">Whether it refused all before it that it has not confirmed, too.</param>
    public void Refuse(ulong number, bool multiple)
    {
        for (var each = multiple ? _lowest : number; each <= number; each++)
        {
            if (_unconfirmed.Remove(each, out var entry))
                entry.IsWaiting = true;
        }
        if (multiple)
            _lowest = Math.Max(_lowest, number + 1);
    }

    /// <summary>Returns the messages that wait, in their order: they are published next.</summary>
    public IReadOnlyList<ShovelEvent.Delivered> TakeWaiting()
    {
        var waiting = _messages.Where(static entry => entry.IsWaiting).ToList();
        foreach (var entry in waiting)
        {
            entry.IsWaiting = false;
            _unconfirmed.Add(_next++, entry);
        }
        return [.. waiting.Select(static entry => entry.Message)];
    }

    /// <summary>The numbers begin again, with those that are not confirmed.</summary>
    public void Restart()
    {
        (_next, _lowest) = (1, 1);
        _unconfirmed.Clear();
        foreach (var entry in _messages.Where(static entry => !entry.IsConfirmed))
        {
            entry.IsWaiting = false;
            _unconfirmed.Add(_next++, entry);
        }
    }

    /// <summary>Takes a confirm. Returns the messages that can be settled: the last one's delivery tag settles all.</summary>
    /// <param name="number">The number of the published message, from 1.</param>
    /// <param name="multiple">Whether it confirms all before it, too.</param>
    public IReadOnlyList<ShovelEvent.Delivered> Confirm(ulong number, bool multiple)
    {
        for (var each = multiple ? _lowest : number; each <= number; each++)
        {
            if (_unconfirmed.Remove(each, out var entry))
                entry.IsConfirmed = true;
        }
        if (multiple)
            _lowest = Math.Max(_lowest, number + 1);
        var settled = new List<ShovelEvent.Delivered>();
        while (_messages.TryPeek(out var first) && first.IsConfirmed)
            settled.Add(_messages.Dequeue().Message);
        return settled;
    }

    private sealed class Entry(ShovelEvent.Delivered message)
    {
        public ShovelEvent.Delivered Message => message;

        public bool IsConfirmed { get; set; }

        /// <summary>Whether it waits to be published.</summary>
        public bool IsWaiting { get; set; }
    }
}
