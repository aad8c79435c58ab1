using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// The publishes of a channel that confirms. Their outcomes come in any order, and are sent when <see cref="Report"/> is called: one ack
/// for all below the first that is open or refused, where that is more than one, and the others singly. Not thread safe.
/// </summary>
internal sealed class ConfirmWindow
{
    // What is decided and not reported: true for accepted, false for refused.
    private readonly SortedDictionary<ulong, bool> _news = [];
    // What is reported above the lowest that is not.
    private readonly HashSet<ulong> _reported = [];
    private ulong _lowest = 1;
    private ulong _last;

    /// <summary>The number of publishes without an outcome.</summary>
    public int Open => (int)(_last - _lowest + 1) - _news.Count - _reported.Count;

    /// <summary>Returns the tag of the next publish.</summary>
    public ulong Next() => ++_last;

    /// <summary>Takes the outcome of a publish. Returns whether <see cref="Report"/> must be called: no earlier call asked for
    /// it.</summary>
    public bool Complete(ulong tag, bool isAccepted)
    {
        _news.Add(tag, isAccepted);
        return _news.Count == 1;
    }

    /// <summary>Adds the outcomes that are not reported. Takes as long as there are such, whatever is open.</summary>
    public void Report(ChannelOutput output)
    {
        var (below, count) = (0UL, 0);
        for (var next = _lowest; ; next++)
        {
            if (_news.TryGetValue(next, out var isAccepted) && isAccepted)
                (below, count) = (next, count + 1);
            else if (!_reported.Contains(next))
                break;
        }
        if (count > 0)
            output.Add(new BasicAck(below, count > 1));
        foreach (var (tag, isAccepted) in _news)
        {
            if (isAccepted && tag > below)
                output.Add(new BasicAck(tag, false));
            else if (!isAccepted)
                output.Add(new BasicNack(tag, false, false));
            _reported.Add(tag);
        }
        _news.Clear();
        while (_reported.Remove(_lowest))
            _lowest++;
    }
}
