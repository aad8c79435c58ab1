using OrleansMq.Api;
using OrleansMq.Groups;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Members may describe what a test says.</summary>
internal sealed class ScriptedSight(Func<string, string, bool?> sees) : ITopicSight
{
    /// <summary>How often it was asked.</summary>
    public int Decisions { get; private set; }

    /// <summary>Lets every member see the topics that begin with its principal.</summary>
    public static ScriptedSight OfPrefixes() =>
        new(static (principal, topic) => topic.StartsWith(principal, StringComparison.Ordinal));

    public static Subscriber As(string principal, string client = "") => new(principal, client, "", "", 3);

    public Subscriber Reduce(Subscriber subscriber) => subscriber with { ClientId = "" };

    public bool? Sees(Subscriber subscriber, string topic)
    {
        Decisions++;
        return sees(subscriber.Principal, topic);
    }
}
