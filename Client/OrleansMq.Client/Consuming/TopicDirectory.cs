using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Which topic has which id. What is not known yet is asked of the broker.</summary>
internal sealed class TopicDirectory(IBroker broker)
{
    private Dictionary<Guid, string> _names = [];

    /// <summary>The names of these topics; those that the broker does not know (yet) are left out.</summary>
    /// <exception cref="BrokerException">The broker could not be asked.</exception>
    public async ValueTask<IReadOnlyDictionary<Guid, string>> FindAsync(IEnumerable<Guid> ids, CancellationToken cancellationToken)
    {
        if (!ids.All(_names.ContainsKey))
            _names = (await broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(static topic => topic.TopicId,
                static topic => topic.Name);
        return _names;
    }
}
