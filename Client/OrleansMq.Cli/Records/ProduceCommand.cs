using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary><c>omq produce TOPIC</c>: sends standard input, one record per line.</summary>
internal static class ProduceCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var topic = new Argument<string>("TOPIC") { Description = "The topic, which must exist." };
        var separator = KeySeparator.Option("The text before the first separator on a line is the record's key.");
        var partition = new Option<int?>("--partition") { Description = "The partition; by default by key, or in turn without a key.",
            HelpName = "N" }.AtLeast(0);
        var timeout = new Option<int>("--timeout")
        {
            Description = "How long a record may take to be acknowledged, including retries: a broker restart within this time loses "
                + "and duplicates nothing.",
            HelpName = "MS",
            DefaultValueFactory = _ => 120_000,
        }.AtLeast(1);
        var trim =
            new Option<bool>("--trim-cr") { Description = "Drop a carriage return at the end of a line; by default every byte is kept." };
        var transient = new Option<bool>("--transient")
        {
            Description = "The records need not survive a power cut: they are acknowledged without waiting for a flush, and carry the "
                + "header omq.persistent=false.",
        };
        var transactionalId = new Option<string?>("--transactional-id")
        {
            Description = "Send all lines in one transaction under this id: readers of committed records see all of them, or none. A later "
                + "run with the id ends what this one has left open.",
            HelpName = "ID",
        };
        var transactionTimeout = new Option<int>("--transaction-timeout")
        {
            Description = "How long the transaction may be open before the broker aborts it.",
            HelpName = "MS",
            DefaultValueFactory = _ => 60_000,
        }.AtLeast(1);
        var (acks, compression) = (RecordOptions.Acks(), RecordOptions.Compression());
        var command = new OmqCommand("produce", "Sends standard input, one record per line. Bytes are sent as they are.",
            "echo hello | omq produce orders", "omq produce orders --key-separator : --compression zstd < orders.txt",
            "omq produce orders --transactional-id nightly < orders.txt")
        {
            topic, separator, acks, compression, transient, partition, timeout, trim, transactionalId, transactionTimeout,
        };
        command.Validators.Add(result =>
        {
            if (result.GetValue(transactionalId) is null)
                return;
            if (TransactionalId.FindProblem(result.GetValue(transactionalId)) is { } problem)
                result.AddError($"--transactional-id: {problem}");
            if (RecordOptions.ParseAcks(result.GetValue(acks) ?? "all") != Acks.All)
                result.AddError("--transactional-id needs --acks all: a transaction is acknowledged by all in-sync replicas.");
        });
        var server = ServerOption.AddTo(command);
        var json = JsonOption.AddTo(command, "Write a summary of the acknowledged records as JSON to standard output.");
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var run = new ProduceRun(broker, parsed.GetRequiredValue(topic))
            {
                Separator = KeySeparator.Bytes(parsed.GetValue(separator)),
                Partition = parsed.GetValue(partition),
                IsTransient = parsed.GetValue(transient),
                TrimCarriageReturn = parsed.GetValue(trim),
                TransactionalId = parsed.GetValue(transactionalId),
                TransactionTimeout = TimeSpan.FromMilliseconds(parsed.GetValue(transactionTimeout)),
                Options = new ProducerOptions
                {
                    Acks = RecordOptions.ParseAcks(parsed.GetRequiredValue(acks)),
                    Compression = RecordOptions.ParseCompression(parsed.GetRequiredValue(compression)),
                    DeliveryTimeout = TimeSpan.FromMilliseconds(parsed.GetValue(timeout)),
                },
            };
            var summary = await run.RunAsync(StandardInput.Open(), cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(summary, RecordsJson.Default.ProduceSummary);
            else
                Console.Error.WriteLine(summary.Describe());
        });
        return command;
    }
}
