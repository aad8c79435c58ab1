using OrleansMq.Api;

namespace OrleansMq.Groups;

/// <summary>The topics that members of groups may describe, by one version of the rules. A change of rules is another sight.</summary>
internal interface ITopicSight
{
    /// <summary>Returns the subscriber with only the fields that decide what it may describe.</summary>
    Subscriber Reduce(Subscriber subscriber);

    /// <summary>Whether a subscriber may describe a topic; null while the rules are not read.</summary>
    /// <param name="subscriber">The subscriber, as <see cref="Reduce"/> returned it.</param>
    /// <param name="topic">The topic's name.</param>
    bool? Sees(Subscriber subscriber, string topic);
}
