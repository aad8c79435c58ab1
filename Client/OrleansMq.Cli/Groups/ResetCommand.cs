using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Groups;

/// <summary><c>omq group reset GROUP</c>: shows the plan; <c>--execute</c> executes it.</summary>
internal static class ResetCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var group = GroupCommands.GroupArgument();
        var topics = new Option<string[]>("--topic") { Description = "A topic, or some of its partitions; may be repeated.",
            HelpName = "TOPIC[:N,N]" };
        var allTopics = new Option<bool>("--all-topics") { Description = "All partitions with committed offsets of the group." };
        var execute = new Option<bool>("--execute") { Description = "Execute the reset. Otherwise only the plan is shown." };
        var command = new OmqCommand("reset", "Resets the offsets of a group without members. Shows the plan; --execute executes it.",
            "omq group reset billing --topic orders --to-earliest", "omq group reset billing --topic orders:0,1 --shift-by -100 --execute",
            "omq group reset billing --all-topics --to-datetime 2026-01-31T08:00:00Z --execute",
            "omq group reset billing --all-topics --by-duration 1h --execute",
            "omq group reset billing --from-file offsets.csv --execute")
        {
            group, topics, allTopics,
        };
        var targets = new ResetTargetOptions(command);
        command.Add(execute);
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var reset = Parse(parsed.GetRequiredValue(group), targets, parsed, parsed.GetValue(topics) ?? [], parsed.GetValue(allTopics));
            using var broker = server.Connect(parsed);
            var plan = await broker.ResetGroupOffsetsAsync(reset, parsed.GetValue(execute), cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(plan, GroupJson.Default.OffsetResetPlan);
            else
                Output.Write(GroupTables.Reset(plan));
        });
        return command;
    }

    private static OffsetReset Parse(string group, ResetTargetOptions targets, ParseResult parsed, string[] topics, bool allTopics)
    {
        if (targets.IsFile(parsed) && (topics.Length > 0 || allTopics))
            throw CommandFailedException.Usage("--from-file lists the partitions: omit --topic and --all-topics.");
        var (target, offsets) = targets.Parse(parsed);
        if (offsets is not null)
            return new OffsetReset(group, Offsets: offsets);
        if (topics.Length == 0 == !allTopics)
            throw CommandFailedException.Usage("Choose the offsets to reset: --topic TOPIC, --topic TOPIC:0,1 or --all-topics.");
        if (allTopics)
            return new OffsetReset(group, target);
        var (whole, partitions) = TopicSelection.Parse(topics);
        return new OffsetReset(group, target, whole, partitions);
    }
}
