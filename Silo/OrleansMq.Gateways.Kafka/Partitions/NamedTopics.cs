using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>A topic that was asked for, or why there is none.</summary>
/// <param name="Name">Null where only an id is known.</param>
/// <param name="TopicId">Empty where only a name is known.</param>
/// <param name="Topic">Null where there is none.</param>
/// <param name="Error">Why not.</param>
internal sealed record NamedTopic(string? Name, Guid TopicId, ImageTopic? Topic, ErrorCode Error);

/// <summary>Finds the topics that a metadata request names, and creates those that may be.</summary>
internal sealed class NamedTopics(RequestContext context, bool allowCreation)
{
    private readonly GatewayServices _services = context.Services;

    /// <summary>One answer a topic, in the order of the request.</summary>
    public async ValueTask<IReadOnlyList<NamedTopic>> FindAsync(MetadataTopic[] wanted)
    {
        var found = new NamedTopic[wanted.Length];
        for (var index = 0; index < wanted.Length; index++)
            found[index] = wanted[index].Name is { } name ? await FindAsync(name).ConfigureAwait(false) : Find(wanted[index].TopicId);
        return found;
    }

    private NamedTopic Find(Guid topicId)
    {
        var image = _services.Metadata.Image;
        return image.Topics.TryGetValue(topicId, out var topic) && topic.Status == TopicStatus.Active && MayDescribe(topic.Name)
            ? new NamedTopic(topic.Name, topicId, topic, ErrorCode.None)
            : new NamedTopic(null, topicId, null, ErrorCode.UnknownTopicId);
    }

    private bool MayDescribe(string name) => context.Access.Authorizes(AccessOperation.Describe, ResourceType.Topic, name);

    private async ValueTask<NamedTopic> FindAsync(string name)
    {
        if (!MayDescribe(name))
            return new NamedTopic(name, Guid.Empty, null, ErrorCode.TopicAuthorizationFailed);
        if (_services.Metadata.Image.FindServed(name) is { } topic)
            return new NamedTopic(name, topic.TopicId, topic, ErrorCode.None);
        if (TopicName.Validate(name) is not null)
            return new NamedTopic(name, Guid.Empty, null, ErrorCode.InvalidTopic);
        // A queue makes its topic itself, before its first message.
        if (!allowCreation || !_services.Options.AutoCreateTopics || QueueTopics.IsOfQueue(name))
            return new NamedTopic(name, Guid.Empty, null, ErrorCode.UnknownTopicOrPartition);
        return await CreateAsync(name).ConfigureAwait(false);
    }

    private async ValueTask<NamedTopic> CreateAsync(string name)
    {
        // The client asks again when the time has passed.
        if (context.Mutate(1, refuses: true) is not null)
            return new NamedTopic(name, Guid.Empty, null, ErrorCode.LeaderNotAvailable);
        try
        {
            var created = await context.Broker.CreateTopicAsync(new NewTopic(name), context.Aborted).ConfigureAwait(false);
            if (created.Partitions.Count > 1)
                context.Mutate(created.Partitions.Count - 1, refuses: false);
        }
        catch (BrokerException exists) when (exists.Code == ErrorCode.TopicAlreadyExists)
        {
            // Another client wanted it too.
        }
        catch (BrokerException refused)
        {
            return new NamedTopic(name, Guid.Empty, null, refused.Action == ErrorAction.Retry ? ErrorCode.LeaderNotAvailable
                : refused.Code);
        }
        return await TopicArrivals.WaitAsync(_services, name, context.Aborted).ConfigureAwait(false) is { } topic
            ? new NamedTopic(name, topic.TopicId, topic, ErrorCode.None)
            : new NamedTopic(name, Guid.Empty, null, ErrorCode.LeaderNotAvailable);
    }
}

/// <summary>Waits for what was just created to be in the metadata.</summary>
internal static class TopicArrivals
{
    /// <summary>The topic once it has so many partitions and all of them are led; as it is when that takes too long, null where it is not
    /// there at all then.</summary>
    public static async ValueTask<ImageTopic?> WaitAsync(GatewayServices services, string name, CancellationToken cancellationToken,
        int partitions = 0)
    {
        var clock = services.Options.TimeProvider;
        var began = clock.GetTimestamp();
        while (true)
        {
            var image = services.Metadata.Image;
            var topic = image.FindServed(name);
            if (topic is not null && topic.Serving >= partitions
                && topic.Partitions.Take(topic.Serving).All(static partition => partition.Leader >= 0))
                return topic;
            var left = services.Options.MaxWaitForLeaders - clock.GetElapsedTime(began);
            if (left <= TimeSpan.Zero)
                return topic;
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var timer = clock.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), deadline, left,
                Timeout.InfiniteTimeSpan);
            try
            {
                await services.Metadata.WaitForNewerAsync(image.Version, deadline.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                return services.Metadata.Image.FindServed(name);
            }
        }
    }
}
