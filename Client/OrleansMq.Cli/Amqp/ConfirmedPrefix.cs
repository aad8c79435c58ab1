namespace OrleansMq.Cli.Amqp;

/// <summary>
/// The messages on their way, in their order: taken from the source, published, not confirmed yet. One acknowledgement settles all messages
/// up to it, so a message is settled when it and all before it are confirmed.
/// </summary>
internal sealed class ConfirmedPrefix
{
    private readonly Queue<ulong> _sources = new();
    private readonly HashSet<ulong> _confirmed = [];
    private ulong _first = 1;

    /// <summary>The number of messages that were published and are not settled.</summary>
    public int Count => _sources.Count;

    /// <summary>Adds the message that is published next. Its number is one above that of the message before.</summary>
    /// <param name="sourceTag">Its delivery tag at the source.</param>
    public void Add(ulong sourceTag) => _sources.Enqueue(sourceTag);

    /// <summary>Takes a confirm. Returns how many messages can be settled, and the last one's delivery tag at the source.</summary>
    /// <param name="number">The number of the published message, from 1.</param>
    /// <param name="multiple">Whether it confirms all before it, too.</param>
    public (int Count, ulong SourceTag) Confirm(ulong number, bool multiple)
    {
        if (!multiple)
            _confirmed.Add(number);
        var (count, tag) = (0, 0UL);
        while (_sources.Count > 0 && ((multiple && _first <= number) || _confirmed.Remove(_first)))
        {
            tag = _sources.Dequeue();
            _confirmed.Remove(_first++);
            count++;
        }
        return (count, tag);
    }
}
