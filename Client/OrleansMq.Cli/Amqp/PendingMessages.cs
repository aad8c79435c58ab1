namespace OrleansMq.Cli.Amqp;

/// <summary>
/// The messages on their way, in their order: taken from the source, and not settled there. One acknowledgement settles all messages up
/// to it, so a message is settled when it and all before it are confirmed. A target that is lost takes its confirms along: all that are
/// left are published again at the next one, from number 1.
/// </summary>
internal sealed class PendingMessages
{
    private readonly Queue<ShovelEvent.Delivered> _messages = new();
    private readonly HashSet<ulong> _confirmed = [];
    private ulong _first = 1;

    /// <summary>The number of messages.</summary>
    public int Count => _messages.Count;

    /// <summary>The messages in their order.</summary>
    public IEnumerable<ShovelEvent.Delivered> All => _messages;

    /// <summary>Adds the message that is published next. Its number is one above that of the message before.</summary>
    public void Add(ShovelEvent.Delivered message) => _messages.Enqueue(message);

    /// <summary>The numbers begin again with those that are left.</summary>
    public void Restart()
    {
        _first = 1;
        _confirmed.Clear();
    }

    /// <summary>Takes a confirm. Returns the messages that can be settled: the last one's delivery tag settles all.</summary>
    /// <param name="number">The number of the published message, from 1.</param>
    /// <param name="multiple">Whether it confirms all before it, too.</param>
    public IReadOnlyList<ShovelEvent.Delivered> Confirm(ulong number, bool multiple)
    {
        if (!multiple)
            _confirmed.Add(number);
        var settled = new List<ShovelEvent.Delivered>();
        while (_messages.Count > 0 && ((multiple && _first <= number) || _confirmed.Remove(_first)))
        {
            settled.Add(_messages.Dequeue());
            _confirmed.Remove(_first++);
        }
        return settled;
    }
}
