using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console;

namespace OrleansMq.Cli.Groups;

/// <summary><c>omq group ...</c>: list, describe, lag, share, reset, delete.</summary>
internal static class GroupCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("group", "Shows consumer groups and their lag, resets their offsets, deletes them.",
            "omq group list", "omq group lag billing", "omq group reset billing --topic orders --to-earliest --execute")
        {
            List(), Describe(), Lag(), Share(), ResetCommand.Create(), Delete(),
        };

    /// <summary>Creates the argument for a group's id.</summary>
    public static Argument<string> GroupArgument() => new("GROUP") { Description = "The group's id." };

    private static OmqCommand List()
    {
        var command = new OmqCommand("list", "Lists the groups.", "omq group list", "omq group list --json | jq -r '.[].groupId'");
        BrokerCall.Show(command, (broker, _, cancellationToken) => broker.Groups.ListGroupsAsync(cancellationToken),
            GroupJson.Default.IReadOnlyListGroupListing, GroupTables.List);
        return command;
    }

    private static OmqCommand Describe()
    {
        var group = GroupArgument();
        var command = new OmqCommand("describe", "Shows a group's members and which partitions each of them reads; of a share group also "
            + "where it is in each.", "omq group describe billing") { group };
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var name = parsed.GetRequiredValue(group);
            var described = await broker.Groups.DescribeGroupAsync(name, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(described, GroupJson.Default.GroupDescription);
            else if (described.Type == GroupType.Share)
                Output.Write(new Rows(GroupTables.Describe(described), new Text(""),
                    GroupTables.Share(await broker.GetSharePartitionsAsync(name, cancellationToken).ConfigureAwait(false))));
            else
                Output.Write(GroupTables.Describe(described));
        });
        return command;
    }

    private static OmqCommand Share()
    {
        var group = GroupArgument();
        var command = new OmqCommand("share", "Shows where a share group is in each partition: its first record that is not settled, "
            + "those in flight, and how many are left.",
            "omq group share workers", "omq group share workers --json | jq '[.[].lag] | add'")
        { group };
        BrokerCall.Show(command,
            (broker, parsed, cancellationToken) => broker.GetSharePartitionsAsync(parsed.GetRequiredValue(group), cancellationToken),
            GroupJson.Default.IReadOnlyListSharePartition, GroupTables.Share);
        return command;
    }

    private static OmqCommand Lag()
    {
        var group = GroupArgument();
        var command = new OmqCommand("lag",
            "Shows a group's lag in each partition: in records, and the age in seconds of the first of them.",
            "omq group lag billing", "omq group lag billing --json | jq '[.[].records] | add'")
        { group };
        BrokerCall.Show(command,
            (broker, parsed, cancellationToken) => broker.GetGroupLagAsync(parsed.GetRequiredValue(group), cancellationToken),
            GroupJson.Default.IReadOnlyListPartitionLag, GroupTables.Lag);
        return command;
    }

    private static OmqCommand Delete()
    {
        var group = GroupArgument();
        var command = new OmqCommand("delete", "Deletes a group that has no members, with its offsets. This cannot be undone.",
            "omq group delete billing") { group };
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var name = parsed.GetRequiredValue(group);
            await broker.Groups.DeleteGroupAsync(name, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(new DeletedGroup(name), GroupCommandsJson.Default.DeletedGroup);
            else
                Output.WriteLine($"Deleted group {name}.");
        });
        return command;
    }
}
