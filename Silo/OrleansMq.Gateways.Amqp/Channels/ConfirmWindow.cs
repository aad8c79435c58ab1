using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// The publishes of a channel that confirms. Their outcomes come in any order, and are sent when <see cref="Report"/> is called: one ack
/// for all below the first that is open or refused, where that is more than one, and the others singly. Not thread safe.
/// </summary>
internal sealed class ConfirmWindow
{
    // What is decided at or above the lowest that is not: true for accepted, false for refused, null for reported.
    private readonly SortedDictionary<ulong, bool?> _decided = [];
    private ulong _lowest = 1;
    private ulong _last;
    private bool _hasNews;

    /// <summary>The number of publishes without an outcome.</summary>
    public int Open => (int)(_last - _lowest + 1) - _decided.Count;

    /// <summary>Returns the tag of the next publish.</summary>
    public ulong Next() => ++_last;

    /// <summary>Takes the outcome of a publish. Returns whether <see cref="Report"/> must be called: no earlier call asked for
    /// it.</summary>
    public bool Complete(ulong tag, bool isAccepted)
    {
        _decided.Add(tag, isAccepted);
        var hadNews = _hasNews;
        _hasNews = true;
        return !hadNews;
    }

    /// <summary>Adds the outcomes that are not reported.</summary>
    public void Report(ChannelOutput output)
    {
        _hasNews = false;
        var (below, count) = (0UL, 0);
        var next = _lowest;
        foreach (var (tag, outcome) in _decided)
        {
            if (tag != next || outcome == false)
                break;
            next++;
            if (outcome == true)
                (below, count) = (tag, count + 1);
        }
        if (count > 0)
            output.Add(new BasicAck(below, count > 1));
        foreach (var (tag, outcome) in _decided)
        {
            if (outcome == true && tag > below)
                output.Add(new BasicAck(tag, false));
            else if (outcome == false)
                output.Add(new BasicNack(tag, false, false));
        }
        foreach (var tag in _decided.Keys.ToArray())
        {
            _decided[tag] = null;
            if (tag == _lowest)
                _decided.Remove(_lowest++);
        }
    }
}
