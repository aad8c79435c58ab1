using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Groups;
using OrleansMq.Cli.Records;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue reset TOPIC QUEUE</c>.</summary>
internal static class QueueResetCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var command = new OmqCommand("reset",
            "Begins a queue anew: everything from there on is delivered, whatever was settled. Its consumers are detached.",
            "omq queue reset orders mails --to-earliest", "omq queue reset orders mails --to-latest",
            "omq queue reset orders mails --to-datetime 2026-01-31T08:00:00Z", "omq queue reset orders mails --by-duration 1h",
            "omq queue reset orders mails --partition 0 --to-offset 1234");
        var selection = new QueueSelection(command);
        var earliest = new Option<bool>("--to-earliest") { Description = "To the first available record." };
        var latest = new Option<bool>("--to-latest") { Description = "To the end of the log: it is empty." };
        var dateTime = new Option<string?>("--to-datetime") { Description = "To the first record at or after a time, ISO 8601; UTC unless "
            + "it has an offset.", HelpName = "TIME" };
        var duration = new Option<string?>("--by-duration") { Description = "To the first record that is not older than this: 90s, 30m, "
            + "12h, 7d, or ISO 8601.", HelpName = "TIME" };
        var offset = new Option<long?>("--to-offset") { Description = "To an offset of the partition that --partition names.",
            HelpName = "N" }.AtLeast(0);
        IReadOnlyList<Option> targets = [earliest, latest, dateTime, duration, offset];
        foreach (var option in targets)
            command.Add(option);
        QueueCommands.Change(command, selection, "Reset", parsed =>
        {
            var start = StartOf(parsed);
            return async (broker, queue, cancellationToken) =>
            {
                var partition = QueueSelection.PartitionOf(queue);
                return QueueDocument.Of(partition, await broker.Queues.ResetAsync(partition, queue.Name, start, queue.Id, cancellationToken)
                    .ConfigureAwait(false));
            };
        });
        command.Validators.Add(result =>
        {
            var given = targets.Where(option => result.GetResult(option) is { Implicit: false }).Select(static option => option.Name)
                .ToList();
            if (given.Count != 1)
                result.AddError(given.Count == 0
                    ? $"Choose where to reset to: one of {string.Join(", ", targets.Select(static option => option.Name))}."
                    : $"{string.Join(" and ", given)} exclude each other; give one.");
            else if (given[0] == offset.Name && !selection.HasPartition(result))
                result.AddError($"{offset.Name} needs --partition: each partition has offsets of its own.");
        });
        return command;

        OffsetSpec StartOf(ParseResult parsed) =>
            parsed.GetValue(earliest) ? OffsetSpec.Earliest
            : parsed.GetValue(latest) ? OffsetSpec.Latest
            : parsed.GetValue(offset) is { } named ? OffsetSpec.AtOffset(named)
            : OffsetSpec.AtOrAfter(Math.Max(0, (parsed.GetValue(dateTime) is { } time ? Times.ParseTime(dateTime.Name, time)
                : DateTimeOffset.UtcNow - Times.ParseDuration(duration.Name, parsed.GetValue(duration)!)).ToUnixTimeMilliseconds()));
    }
}
