using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Resolves topic ids to names. Asks the broker for unknown ids.</summary>
internal sealed class TopicDirectory(IBroker broker)
{
    private Dictionary<Guid, string> _names = [];

    /// <summary>Returns the names of these topics. Those unknown to the broker are omitted.</summary>
    /// <exception cref="BrokerException">The broker did not answer.</exception>
    public async ValueTask<IReadOnlyDictionary<Guid, string>> FindAsync(IEnumerable<Guid> ids, CancellationToken cancellationToken)
    {
        if (!ids.All(_names.ContainsKey))
            _names = (await broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(static topic => topic.TopicId,
                static topic => topic.Name);
        return _names;
    }
}
