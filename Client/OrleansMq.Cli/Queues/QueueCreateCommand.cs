using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Groups;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary><c>omq queue create TOPIC QUEUE</c>.</summary>
internal static class QueueCreateCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var command = new OmqCommand("create",
            "Creates a queue in the partitions of a topic. Where there is one of that name, it stays as it is.",
            "omq queue create orders mails", "omq queue create orders mails --from latest --max-failures 5 --retry-delay 2s",
            "omq queue create orders mails --max-failures 5 --dead-letter-topic orders.dead-letter",
            "omq queue create orders european --filter \"region = 'eu' AND amount > 100\"",
            "omq queue create orders mails --from 2026-01-31T08:00:00Z --ordered-by-key");
        var selection = new QueueSelection(command);
        var from = new Option<string>("--from") { Description = "The first record; a time is ISO 8601, UTC unless it has an offset.",
            HelpName = "earliest|latest|TIME", DefaultValueFactory = static _ => "earliest" };
        var delivery = new DeliveryOptions(command);
        var orderedByKey = new Option<bool>("--ordered-by-key") { Description = "A record waits until every earlier one of its key is "
            + "settled." };
        var singleActive = new Option<bool>("--single-active-consumer") { Description = "One consumer at a time receives." };
        var priorities = new Option<int>("--priorities") { Description = "The number of priorities, up to 32: records with a higher "
            + $"header {QueueHeaders.Priority} come first.", HelpName = "N" }.AtLeast(0);
        var filter = new Option<string?>("--filter") { Description = "Deliver only records whose headers meet a condition, such as "
            + "\"region = 'eu' AND amount > 100\", or the records of one key: \"KEY() = 'customer-7'\".", HelpName = "CONDITION" };
        foreach (var option in (Option[])[from, orderedByKey, singleActive, priorities, filter])
            command.Add(option);
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var queue = new NewQueue(selection.Name(parsed))
            {
                Start = StartOf(parsed.GetRequiredValue(from)),
                Options = delivery.Apply(parsed, new QueueOptions
                {
                    IsOrderedByKey = parsed.GetValue(orderedByKey),
                    IsSingleActiveConsumer = parsed.GetValue(singleActive),
                    PriorityLevels = parsed.GetValue(priorities),
                    Filter = parsed.GetValue(filter),
                }),
            };
            using var broker = server.Connect(parsed);
            var created = new List<QueueDocument>();
            foreach (var partition in await selection.PartitionsAsync(broker, parsed, cancellationToken).ConfigureAwait(false))
                created.Add(QueueDocument.Of(partition,
                    await broker.Queues.CreateAsync(partition, queue, cancellationToken).ConfigureAwait(false)));
            if (parsed.GetValue(json))
                Output.WriteJson(created, QueueJson.Default.IReadOnlyListQueueDocument);
            else
                Output.Write(QueueTables.Describe(created));
        });
        return command;
    }

    private static OffsetSpec StartOf(string text) => text switch
    {
        "earliest" => OffsetSpec.Earliest,
        "latest" => OffsetSpec.Latest,
        _ => OffsetSpec.AtOrAfter(Times.ParseTime("--from", text).ToUnixTimeMilliseconds()),
    };
}
