using System.Globalization;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Groups.Share;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>The configuration of share groups. It belongs to an id: it can be set before there is a group, and stays when that is
/// deleted.</summary>
internal static class GroupConfigs
{
    private const sbyte Boolean = 1, Text = 2, Int32 = 3;

    /// <summary>Returns all keys with their values.</summary>
    /// <exception cref="BrokerException">The coordinator refused.</exception>
    public static async ValueTask<IReadOnlyList<DescribedConfig>> DescribeAsync(RequestContext context, string groupId)
    {
        var set = SettingsOf(await FindAsync(context, groupId).ConfigureAwait(false));
        var config = ShareGroupConfig.Parse(set);
        return [.. ShareGroupConfigKeys.All.Select(key => new DescribedConfig(key.Name, key.Get(config),
            set.ContainsKey(key.Name) ? ConfigSource.Group : ConfigSource.Default, IsReadOnly: false, TypeOf(key.Get(config)),
            key.Documentation))];
    }

    /// <summary>Changes keys; a value of null returns a key to its default. All or nothing.</summary>
    /// <exception cref="BrokerException">The change is refused.</exception>
    public static async ValueTask AlterAsync(RequestContext context, string groupId,
        Func<IReadOnlyDictionary<string, string>, Dictionary<string, string?>> changesOf, bool validateOnly)
    {
        var found = await FindAsync(context, groupId).ConfigureAwait(false);
        var before = SettingsOf(found);
        var changes = changesOf(before).Select(static change => new ShareGroupSetting(change.Key, change.Value)).ToArray();
        var after = ShareGroupConfig.Parse(ShareGroupConfig.Change(before, changes));
        if (after.DeadLetterTopic is { } letters && !before.Contains(KeyValuePair.Create(AlterShareGroup.DeadLetterKey, letters)))
        {
            // Before the answer tells whether there is such a topic.
            context.Access.Demand(AccessOperation.Write, ResourceType.Topic, letters);
            if (context.Services.Metadata.Image.FindServed(letters) is not { } target)
                throw new BrokerException(ErrorCode.InvalidConfig,
                    $"{AlterShareGroup.DeadLetterKey} is '{letters}', and there is no such topic: create it first.");
            if (found.Topics.Any(cursors => cursors.TopicId == target.TopicId))
                throw new BrokerException(ErrorCode.InvalidConfig, $"{AlterShareGroup.DeadLetterKey} is '{letters}', which the group "
                    + "reads: a rejected record would come back for ever. Name another topic.");
        }
        if (validateOnly)
            return;
        var reply = await context.Broker.Groups.SendAsync(new AlterShareGroup(groupId) { Configs = changes }, context.Aborted)
            .ConfigureAwait(false);
        if (reply.Error != ErrorCode.None)
            throw new BrokerException(reply.Error, reply.Message ?? $"The configuration of group '{groupId}' was not changed.");
    }

    private static async ValueTask<ShareCursorsResult> FindAsync(RequestContext context, string groupId)
    {
        var found = await context.Broker.Groups.SendAsync(new FindShareCursors(groupId), context.Aborted).ConfigureAwait(false);
        // An id of consumers has a configuration, too.
        return found.Error is ErrorCode.None or ErrorCode.GroupIdNotFound ? found
            : throw new BrokerException(found.Error, found.Message ?? $"The configuration of group '{groupId}' could not be read.");
    }

    private static Dictionary<string, string> SettingsOf(ShareCursorsResult found) => found.Configs
        .Where(static config => config.Value is not null).ToDictionary(static config => config.Name, static config => config.Value!);

    private static sbyte TypeOf(string value) => value is "true" or "false" ? Boolean
        : int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _) ? Int32 : Text;
}
