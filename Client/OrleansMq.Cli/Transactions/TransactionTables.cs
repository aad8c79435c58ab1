using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Transactions;

/// <summary>Formats transactional ids as tables.</summary>
internal static class TransactionTables
{
    private const string Unknown = "-";

    /// <summary>Lists ids, one line each.</summary>
    public static IRenderable List(IReadOnlyList<TransactionListing> transactions)
    {
        if (transactions.Count == 0)
            return new Text("No transactions. A producer with a transactional id begins them.\n");
        var table = Output.NewTable("ID", "PHASE", "PRODUCER", "OPEN SINCE");
        foreach (var one in transactions)
            table.AddRow(new Text(one.TransactionalId), new Text(one.Phase.ToString()), new Text(Number(one.ProducerId)),
                new Text(Time(one.StartedAt)));
        return table;
    }

    /// <summary>Describes an id: what is open, and what became of the last transaction.</summary>
    public static IRenderable Describe(TransactionDescriptionDocument transaction)
    {
        var producer = transaction.Producer;
        var rows = new List<IRenderable>
        {
            new Text($"{transaction.TransactionalId}  {transaction.Phase}  producer {Number(producer.ProducerId)}  epoch "
                + $"{Number(producer.ProducerEpoch)}  timeout {Number(transaction.TimeoutMs)} ms  coordinator "
                + $"{Number(transaction.Coordinator)}\n"),
        };
        if (transaction.StartedAt is not null)
            rows.Add(new Text($"Transaction {Number(transaction.Number)} is open since {Time(transaction.StartedAt)}.\n"));
        if (transaction.Partitions.Count > 0)
        {
            var table = Output.NewTable("TOPIC", "PARTITION");
            foreach (var partition in transaction.Partitions.OrderBy(static one => one.Topic, StringComparer.Ordinal)
                .ThenBy(static one => one.Partition))
                table.AddRow(new Text(partition.Topic), new Text(Number(partition.Partition)));
            rows.Add(table);
            rows.Add(new Text(""));
        }
        if (transaction.Groups.Count > 0)
            rows.Add(new Text($"Commits offsets of: {string.Join(", ", transaction.Groups.Order(StringComparer.Ordinal))}\n"));
        rows.Add(new Text($"Last end:   {transaction.LastEnd ?? "none"}"));
        rows.Add(new Text($"Last fence: {transaction.LastFence ?? "none"}"));
        return new Rows(rows);
    }

    /// <summary>Confirms an abort.</summary>
    public static IRenderable Aborted(TransactionDescriptionDocument transaction) =>
        new Text($"{transaction.TransactionalId}: {transaction.LastEnd}"
            + (transaction.Phase == TransactionPhase.PrepareAbort ? "; its partitions and groups are being told\n" : "\n"));

    private static string Time(DateTimeOffset? time) => time is { } known ? RecordTime.Format(known.ToUnixTimeMilliseconds()) : Unknown;

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
