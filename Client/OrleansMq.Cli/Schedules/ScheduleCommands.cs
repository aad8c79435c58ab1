using System.CommandLine;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Groups;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Schedules;

/// <summary><c>omq schedule ...</c>: create, list, cancel.</summary>
internal static class ScheduleCommands
{
    private const int Page = 1_000;

    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("schedule", "Schedules records, which are appended to a topic once or repeatedly; lists and cancels them.",
            "omq schedule create orders 'reminder' --in 2h", "omq schedule create orders 'open' --cron '0 9 * * MON-FRI'",
            "omq schedule list orders", "omq schedule cancel orders reminder-7")
        {
            New(), List(), Cancel(),
        };

    private static OmqCommand New()
    {
        var topic = BrokerCall.TopicArgument();
        var value = new Argument<string>("VALUE") { Description = "The record's value." };
        var at = new Option<string?>("--at") { Description = "When the record is appended: ISO 8601, UTC unless it has an offset. With "
            + "--cron the time before which it is not; by default now.", HelpName = "TIME" };
        var after = new Option<string?>("--in") { Description = "How long from now the record is appended.", HelpName = "DURATION" };
        var cron = new Option<string?>("--cron") { Description = "When the record is appended again and again: 'minute hour day month "
            + "weekday', or six fields that begin with the second.", HelpName = "EXPRESSION" };
        var zone = new Option<string?>("--zone") { Description = "The time zone of --cron, such as Europe/Berlin; by default UTC.",
            HelpName = "ZONE" };
        var id = new Option<string?>("--id") { Description = "The name by which it is cancelled; by default a new one. Repeating the "
            + "command with id and time, or id and cron, is one schedule.", HelpName = "ID" };
        var key = new Option<string?>("--key") { Description = "The record's key.", HelpName = "KEY" };
        var partition = new Option<int>("--partition") { Description = "The partition; by default the key's.", HelpName = "N",
            DefaultValueFactory = static _ => -1 }.AtLeast(-1);
        var command = new OmqCommand("create", "Schedules a record: it is appended at its time, once, or at each time that --cron says.",
            "omq schedule create orders 'reminder' --in 90s", "omq schedule create orders 'happy new year' --at 2027-01-01T00:00:00Z",
            "omq schedule create orders 'reminder' --in 2h --id reminder-7 --key customer-7",
            "omq schedule create orders 'open' --cron '0 9 * * MON-FRI' --zone Europe/Berlin --id open")
        {
            topic, value, at, after, cron, zone, id, key, partition,
        };
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var schedule = new NewSchedule(parsed.GetRequiredValue(topic))
            {
                Id = parsed.GetValue(id),
                At = TimeOf(parsed.GetValue(at), parsed.GetValue(after), parsed.GetValue(cron)),
                Cron = parsed.GetValue(cron),
                TimeZone = parsed.GetValue(zone),
                Partition = parsed.GetValue(partition),
                Key = parsed.GetValue(key) is { } text ? Encoding.UTF8.GetBytes(text) : (ReadOnlyMemory<byte>?)null,
                Value = Encoding.UTF8.GetBytes(parsed.GetRequiredValue(value)),
            };
            using var broker = server.Connect(parsed);
            var created = await broker.Schedules.CreateAsync(schedule, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(ScheduleDocument.Of(created), ScheduleJson.Default.ScheduleDocument);
            else
                Output.WriteLine($"Scheduled {created.Id} for topic {created.Topic} at "
                    + $"{RecordTime.Format(created.At.ToUnixTimeMilliseconds())}{(created.Cron is null ? "" : ", and so on")}.");
        });
        return command;
    }

    private static OmqCommand List()
    {
        var topic = new Argument<string?>("TOPIC") { Description = "The topic; by default all.", Arity = ArgumentArity.ZeroOrOne };
        var max = new Option<int>("--max") { Description = "The most schedules.", HelpName = "N",
            DefaultValueFactory = static _ => 100 }.AtLeast(1);
        var command = new OmqCommand("list", "Lists the schedules that wait, in the order of their times.", "omq schedule list",
            "omq schedule list orders --json | jq -r '.[].id'") { topic, max };
        BrokerCall.Show(command, (broker, parsed, cancellationToken) => ListAsync(broker, parsed.GetValue(topic), parsed.GetValue(max),
            cancellationToken), ScheduleJson.Default.IReadOnlyListScheduleDocument, Table);
        return command;
    }

    private static OmqCommand Cancel()
    {
        var topic = BrokerCall.TopicArgument();
        var id = new Argument<string>("ID") { Description = "The schedule's id." };
        var command = new OmqCommand("cancel", "Cancels a schedule: its record is then never appended, or never again.",
            "omq schedule cancel orders reminder-7") { topic, id };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var (from, name) = (parsed.GetRequiredValue(topic), parsed.GetRequiredValue(id));
            using var broker = server.Connect(parsed);
            if (!await broker.Schedules.CancelAsync(from, name, cancellationToken).ConfigureAwait(false))
                throw new CommandFailedException(ExitCode.Refused, $"No schedule '{name}' of topic '{from}' waits: its record was "
                    + $"appended, or it was cancelled. See what waits: omq schedule list {from}");
            Output.WriteLine($"Cancelled {name} of topic {from}.");
        });
        return command;
    }

    private static DateTimeOffset TimeOf(string? at, string? after, string? cron) => (at, after) switch
    {
        ({ } time, null) => Times.ParseTime("--at", time),
        (null, { } duration) => DateTimeOffset.UtcNow + Times.ParseDuration("--in", duration),
        (null, null) when cron is not null => default,
        _ => throw new CommandFailedException(ExitCode.WrongUsage,
            "Give the record's time by one of --at and --in, or by --cron where it repeats."),
    };

    private static async ValueTask<IReadOnlyList<ScheduleDocument>> ListAsync(HttpBroker broker, string? topic, int max,
        CancellationToken cancellationToken)
    {
        var listed = new List<ScheduleDocument>();
        string? after = null;
        do
        {
            var page = await broker.Schedules.ListAsync(new ScheduleQuery { Topic = topic, MaxCount = Page, After = after },
                cancellationToken).ConfigureAwait(false);
            listed.AddRange(page.Schedules.Select(ScheduleDocument.Of));
            after = page.Next;
        }
        while (after is not null && listed.Count < max);
        return [.. listed.Take(max)];
    }

    private static IRenderable Table(IReadOnlyList<ScheduleDocument> schedules)
    {
        if (schedules.Count == 0)
            return new Text("No schedules. Create one: omq schedule create TOPIC VALUE --in DURATION\n");
        var table = Output.NewTable("TIME", "TOPIC", "PARTITION", "BYTES", "REPEATS", "ID");
        foreach (var schedule in schedules)
            table.AddRow(new Text(RecordTime.Format(schedule.At.ToUnixTimeMilliseconds())), new Text(schedule.Topic),
                new Text(schedule.Partition < 0 ? "by key" : $"{schedule.Partition}"), new Text($"{schedule.Bytes}"),
                new Text(schedule.Cron is null ? "once" : $"{schedule.Cron} {schedule.TimeZone}"), new Text(schedule.Id));
        var refused = schedules.Where(static schedule => schedule.Refusal is not null).Select(static schedule =>
            new Text($"{schedule.Id} is due, and its topic refuses it: {schedule.Refusal}\n")).ToList();
        return refused.Count == 0 ? table : new Rows([table, .. refused]);
    }
}
