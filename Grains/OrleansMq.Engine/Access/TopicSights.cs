using OrleansMq.Api;
using OrleansMq.Groups;

namespace OrleansMq.Access;

/// <summary>The topics that members of groups may describe, as an authorizer decides. Thread safe.</summary>
/// <param name="authorizer">Decides.</param>
/// <param name="areRulesRead">Whether the rules are read, of an authorizer that decides by rules: by principal and host alone. Null: the
/// authorizer always knows, and may look at the whole session.</param>
internal sealed class TopicSights(IAuthorizer authorizer, Func<bool>? areRulesRead = null)
{
    private Sight? _current;

    /// <summary>What the rules allow now; the same instance while they do not change.</summary>
    public ITopicSight Current
    {
        get
        {
            // Before the decisions: one that newer rules make counts for the version before, and the next sight repeats it.
            var version = authorizer.Version;
            var current = Volatile.Read(ref _current);
            if (current is null || current.Version != version)
                Volatile.Write(ref _current, current = new Sight(authorizer, areRulesRead, version));
            return current;
        }
    }

    /// <summary>Returns a session as a subscriber.</summary>
    public static Subscriber SubscriberOf(BrokerSession session) =>
        new(session.Principal, session.ClientId, session.Listener, session.Host, (int)session.Protocol);

    private sealed class Sight(IAuthorizer authorizer, Func<bool>? areRulesRead, int version) : ITopicSight
    {
        public int Version => version;

        public Subscriber Reduce(Subscriber subscriber) =>
            areRulesRead is null ? subscriber : subscriber with { ClientId = "", Listener = "" };

        public bool? Sees(Subscriber subscriber, string topic)
        {
            var session = new BrokerSession(subscriber.Principal, subscriber.ClientId, subscriber.Listener, subscriber.Host,
                (SessionProtocol)subscriber.Protocol);
            // Before the decision: rules that are read meanwhile may allow what was refused without them.
            var isRead = areRulesRead is null || areRulesRead();
            return authorizer.Allows(session, AccessOperation.Describe, ResourceType.Topic, topic) ? true : isRead ? false : null;
        }
    }
}
