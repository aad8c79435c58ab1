using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The search for subscribed topics that do not exist (yet). Its intervals grow, since a misspelt topic never exists.</summary>
internal sealed class MissingTopics(IBroker broker, ConsumerOptions options, ReaderOptions reader)
{
    private HashSet<string> _names = [];
    private int _looks;

    /// <summary>Whether a topic is missing.</summary>
    public bool IsAny { get; private set; }

    /// <summary>Notes what is missing after all topics were listed.</summary>
    /// <param name="names">The missing topics.</param>
    /// <param name="isMatchMissing">Whether a pattern matches no topic.</param>
    public void Set(IEnumerable<string> names, bool isMatchMissing)
    {
        var missing = names.ToHashSet(StringComparer.Ordinal);
        IsAny = isMatchMissing || missing.Count > 0;
        if (!IsAny || !missing.SetEquals(_names))
            _looks = 0;
        _names = missing;
    }

    /// <summary>Returns the wait before the next look: from <see cref="ReaderOptions.RetryBackoffMax"/> to
    /// <see cref="ConsumerOptions.MetadataMaxAge"/>.</summary>
    public TimeSpan NextWait() =>
        RetryBackoff.For(++_looks, reader.RetryBackoffMax, options.MetadataMaxAge, reader.Random.NextDouble());

    /// <summary>Returns whether the topics are to be listed again: a missing one exists, or only a list can tell.</summary>
    public async Task<bool> MayExistAsync(CancellationToken cancellationToken)
    {
        foreach (var name in _names)
        {
            try
            {
                await broker.GetTopicAsync(name, cancellationToken).ConfigureAwait(false);
                return true;
            }
            catch (BrokerException)
            {
                // Still missing or hidden, or its broker does not answer. A fault that lasts is reported when topics are listed.
            }
        }
        return _names.Count == 0;
    }
}
