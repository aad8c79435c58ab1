using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Cli.Terminal;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Groups;

/// <summary>Formats groups as tables.</summary>
internal static class GroupTables
{
    private const string Unknown = "-";

    /// <summary>Lists groups, one line each.</summary>
    public static IRenderable List(IReadOnlyList<GroupListing> groups)
    {
        if (groups.Count == 0)
            return new Text("No groups. The first consumer creates one: omq consume TOPIC --group GROUP\n");
        var table = Output.NewTable("GROUP", "STATE", "PROTOCOL");
        foreach (var group in groups)
            table.AddRow(new Text(group.GroupId), new Text(group.State.ToString()), new Text(group.Type.ToString()));
        return table;
    }

    /// <summary>Describes a group and its members.</summary>
    public static IRenderable Describe(GroupDescription group)
    {
        var assignor = group.Protocol.Length == 0 ? "" : $"  assignor {group.Protocol}";
        var head = new Text($"{group.GroupId}  {group.State}  protocol {group.Type}{assignor}  epoch {Number(group.Epoch)}  coordinator "
            + $"{Number(group.Coordinator)}\n");
        if (group.Members.Count == 0)
            return new Rows(head, new Text("No members."));
        var table = Output.NewTable("MEMBER", "CLIENT", "HOST", "INSTANCE", "EPOCH", "PARTITIONS");
        foreach (var member in group.Members)
        {
            table.AddRow(new Text(member.MemberId), new Text(member.ClientId), new Text(member.ClientHost),
                new Text(member.GroupInstanceId ?? Unknown),
                new Text(Number(member.MemberEpoch)), new Text(Partitions(member)));
        }
        return new Rows(head, table);
    }

    /// <summary>Shows a line per partition, and the total.</summary>
    public static IRenderable Lag(IReadOnlyList<PartitionLag> lags)
    {
        if (lags.Count == 0)
            return new Text("The group has committed nothing, and its members read nothing.\n");
        var table = Output.NewTable("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS", "MEMBER");
        foreach (var lag in lags)
        {
            table.AddRow(new Text(lag.Partition.Topic), new Text(Number(lag.Partition.Partition)), new Text(Number(lag.Committed)),
                new Text(Number(lag.HighWatermark)),
                new Text(Number(lag.Records)), new Text(Seconds(lag.Seconds)), new Text(lag.MemberId ?? Unknown));
        }
        var rows = new List<IRenderable> { table };
        rows.AddRange(lags.Where(lag => lag.Error != ErrorCode.None)
            .Select(lag => new Text($"\n{lag.Partition}: {lag.Message ?? lag.Error.ToString()}", new Style(Color.Red))));
        rows.Add(new Text($"\n{Number(lags.Sum(lag => lag.Records ?? 0))} records behind, the oldest "
            + $"{Seconds(lags.Max(lag => lag.Seconds))} s old."));
        return new Rows(rows);
    }

    /// <summary>Shows where a share group is, a line per partition, and the total.</summary>
    public static IRenderable Share(IReadOnlyList<SharePartition> partitions)
    {
        if (partitions.Count == 0)
            return new Text("The group reads no topic that exists.\n");
        var table = Output.NewTable("TOPIC", "PARTITION", "START", "IN FLIGHT", "LAG", "ACCEPTED", "REJECTED", "DEAD LETTERS", "MEMBERS");
        foreach (var one in partitions)
        {
            table.AddRow(new Text(one.Partition.Topic), new Text(Number(one.Partition.Partition)), new Text(Number(one.StartOffset)),
                new Text(Number(one.InFlight)), new Text(Number(one.Lag)), new Text(Number(one.Accepted)), new Text(Number(one.Rejected)),
                new Text(Number(one.DeadLettered)), new Text(one.MemberIds.Count == 0 ? Unknown : string.Join(' ', one.MemberIds)));
        }
        var rows = new List<IRenderable> { table };
        rows.AddRange(partitions.Where(static one => one.Error != ErrorCode.None)
            .Select(static one => new Text($"\n{one.Partition}: {one.Message ?? one.Error.ToString()}", new Style(Color.Red))));
        rows.Add(new Text($"\n{Number(partitions.Sum(static one => one.Lag ?? 0))} records left, "
            + $"{Number(partitions.Sum(static one => one.InFlight ?? 0))} of them in flight."));
        return new Rows(rows);
    }

    /// <summary>Shows the effect of a reset on each partition, and the next step.</summary>
    public static IRenderable Reset(OffsetResetPlan plan)
    {
        if (plan.Partitions.Count == 0)
            return new Text($"Group {plan.GroupId} has committed nothing, so there is nothing to reset. Name a topic: --topic NAME.\n");
        var table = Output.NewTable("TOPIC", "PARTITION", "COMMITTED", "NEW", "NOTE");
        foreach (var partition in plan.Partitions)
        {
            table.AddRow(new Text(partition.Partition.Topic), new Text(Number(partition.Partition.Partition)),
                new Text(Number(partition.Committed)),
                new Text(Number(partition.Target)), new Text(partition.Note ?? ""));
        }
        return new Rows(table, new Text("\n" + Outcome(plan)));
    }

    private static string Outcome(OffsetResetPlan plan) =>
        plan.Executed ? $"Done: group {plan.GroupId} continues at the new offsets."
        : plan.Members > 0
        ? $"Nothing was changed. Group {plan.GroupId} has {(plan.Members == 1 ? "a member" : $"{Number(plan.Members)} members")}: stop its "
        + "consumers, then add --execute."
        : plan.Partitions.Any(partition => partition.Error != ErrorCode.None)
        ? "Nothing was changed. Bring the unavailable partitions back, then add --execute."
        : "Nothing was changed. Add --execute to do it.";

    private static string Partitions(GroupMember member) => member.Assignment.Count == 0
        ? Unknown
        : string.Join(' ', member.Assignment.GroupBy(partition => partition.Topic, StringComparer.Ordinal)
            .Select(topic => $"{topic.Key}:{string.Join(',', topic.Select(partition => Number(partition.Partition)))}"));

    private static string Seconds(double? seconds) => seconds is { } known ? known.ToString("0.0", CultureInfo.InvariantCulture) : Unknown;

    private static string Number(long? number) => number?.ToString(CultureInfo.InvariantCulture) ?? Unknown;
}
