using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>Orders placed by many customers while silos and the database die. When all is quiet, the books must balance.</summary>
internal sealed class OrderFlowRun(OrderFlowCluster cluster, int seed) : IDisposable
{
    private const int Customers = 24;
    private const int Buyers = 12;
    private const int Readers = 16;
    private const int Partitions = 6;
    private const long Rich = 10_000_000;
    private const long Poor = 500;
    private static readonly TimeSpan BuyerPause = TimeSpan.FromMilliseconds(60);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private static readonly string[] Topics = ["orders", "payments", "order-events"];
    private static readonly string[] Ends = ["Paid", "Declined", "Cancelled"];
    private static readonly string[] Internal = ["grain-timers", "__outbox"];

    private readonly ClusterClient _client = new(cluster.Addresses, TimeSpan.FromSeconds(4));
    private readonly OrderFlowClient _api = new(cluster.Apis);
    private readonly FaultInjector _injector = new(cluster);
    private readonly ConcurrentDictionary<string, WantedOrder> _wanted = [];
    private int _answered;

    /// <summary>Injects faults for a while, waits until nothing moves any more, and judges.</summary>
    /// <param name="weights">The relative frequency of each fault.</param>
    /// <param name="length">How long faults are injected.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    public async Task RunAsync(IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, CancellationToken cancellationToken)
    {
        foreach (var topic in Topics)
        {
            await _client.Patient.CreateTopicAsync(new NewTopic(topic, Partitions, 3,
                new Dictionary<string, string> { ["retention.until.settled"] = "true" }), cancellationToken);
        }
        var view = new ClusterView(_client.Broker, "orders", 3);
        await view.WellAsync(Patience, cancellationToken);
        var books = new OrderBooks();
        foreach (var number in Enumerable.Range(0, Customers))
        {
            // Every fourth customer is soon out of money.
            books.Opened[$"customer-{number}"] = number % 4 == 0 ? Poor : Rich;
            await _api.PutAsync<AccountView>($"/accounts/customer-{number}", new { cents = books.Opened[$"customer-{number}"] });
        }

        cluster.Log.Tell($"seed {seed}: load begins");
        using var stop = new CancellationTokenSource();
        var buying = Task.WhenAll(Enumerable.Range(0, Buyers).Select(buyer => Task.Run(() => BuyAsync(buyer, stop.Token))));
        await BreakAsync(view, weights, length, buying, cancellationToken);
        cluster.Log.Tell("calm");
        await EachEndAsync(books, buying, cancellationToken);
        await stop.CancelAsync();
        await buying;
        foreach (var topic in Topics)
            await new ClusterView(_client.Broker, topic, 3).WellAsync(Patience, cancellationToken);
        cluster.Log.Tell($"well again, {_answered} orders placed");
        Take(books);
        await QuietAsync(books, cancellationToken);
        cluster.Log.Tell("quiet");
        await ReadAsync(books, cancellationToken);
        Tell(books);
        var wrong = books.Judge();
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        await NoDeadLettersAsync(cancellationToken);
        Assert.True(Ends.All(end => books.Count(end) > 0), "each end comes");
    }

    public void Dispose()
    {
        _api.Dispose();
        _client.Dispose();
    }

    private async Task BuyAsync(int buyer, CancellationToken stop)
    {
        var random = new Random(HashCode.Combine(seed, buyer));
        for (var number = 0; !stop.IsCancellationRequested; number++)
        {
            var wanted = new WantedOrder($"order-{buyer}-{number}", $"customer-{random.Next(Customers)}", random.Next(1, 500));
            _wanted[wanted.Id] = wanted;
            // Some deadlines are so short that the account's answer comes at about the same time.
            var payBy = DateTimeOffset.UtcNow.AddSeconds(number % 5 == 0 ? random.NextDouble() * 0.5 : 2 + (random.NextDouble() * 15));
            await _api.PutAsync<OrderView>($"/orders/{wanted.Id}", new { wanted.Customer, wanted.Cents, payBy });
            Interlocked.Increment(ref _answered);
            await Task.Delay(BuyerPause, CancellationToken.None);
        }
    }

    // On a slow machine the faults may leave no time in which, for instance, a deadline passes before the account answers.
    private async Task EachEndAsync(OrderBooks books, Task buying, CancellationToken cancellationToken)
    {
        var since = Stopwatch.StartNew();
        while (!Ends.All(end => books.Count(end) > 0))
        {
            Assert.True(since.Elapsed < Patience, $"{Patience.TotalSeconds} s after the last fault {books.Count("Paid")} orders are paid, "
                + $"{books.Count("Declined")} declined and {books.Count("Cancelled")} cancelled. Each end must come.");
            if (buying.IsFaulted)
                await buying;
            await Task.Delay(500, cancellationToken);
            Take(books);
            await ReadOrdersAsync(books, static order => order is not { IsDecided: true }, cancellationToken);
        }
    }

    private void Take(OrderBooks books)
    {
        foreach (var wanted in _wanted.Values)
            books.Wanted[wanted.Id] = wanted;
    }

    private async Task BreakAsync(ClusterView view, IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, Task buying,
        CancellationToken cancellationToken)
    {
        using var time = new CancellationTokenSource(length);
        // Each fault comes once first, so that a short run sees all of them.
        var random = new Random(seed);
        var first = new Queue<FaultKind>(weights.Keys.Order().OrderBy(_ => random.Next()).ToList());
        foreach (var planned in FaultPlan.From(seed, weights))
        {
            var fault = first.TryDequeue(out var kind) ? planned with { Kind = kind } : planned;
            await Task.Delay(fault.Before, cancellationToken);
            if (buying.IsFaulted)
                await buying;
            if (time.IsCancellationRequested)
                return;
            if (await view.TryDescribeAsync(cancellationToken) is not { } partitions)
                continue;
            cluster.Log.Tell($"{fault}; leaders {string.Join(',', partitions.Select(static partition => partition.Leader))}, "
                + $"{_answered} orders placed, {_api.Repeated} requests repeated");
            await _injector.InjectAsync(fault, partitions, view.IsWell(partitions), cancellationToken);
            if (fault.WaitsForRecovery)
                await view.WellAsync(Patience, cancellationToken);
        }
    }

    /// <summary>Waits until every order is decided and every record, timer and outbox is settled, and nothing was appended
    /// meanwhile.</summary>
    private async Task QuietAsync(OrderBooks books, CancellationToken cancellationToken)
    {
        var progress = Stopwatch.StartNew();
        var (before, least) = ("", long.MaxValue);
        while (true)
        {
            await ReadOrdersAsync(books, static order => order is not { IsDecided: true }, cancellationToken);
            var open = books.Orders.Values.Count(static order => !order.IsDecided);
            var (unsettled, ends, left) = await UnsettledAsync(cancellationToken);
            if (open == 0 && left.Count == 0 && ends == before)
                return;
            if (open + unsettled < least)
                (least, progress) = (open + unsettled, Stopwatch.StartNew());
            Assert.False(progress.Elapsed > Patience, $"For {Patience.TotalSeconds} s nothing moved on: {open} orders are not decided, "
                + $"such as {books.Orders.FirstOrDefault(static order => !order.Value.IsDecided)}; {string.Join("; ", left.Take(8))}");
            before = ends;
            await Task.Delay(500, cancellationToken);
        }
    }

    private async Task<(long Count, string Ends, IReadOnlyList<string> Left)> UnsettledAsync(CancellationToken cancellationToken)
    {
        var (count, ends, left) = (0L, new StringBuilder(), new List<string>());
        foreach (var topic in Topics.Concat(Internal))
        {
            try
            {
                foreach (var partition in (await _client.Patient.DescribeTopicAsync(topic, cancellationToken)).Partitions)
                {
                    ends.Append(CultureInfo.InvariantCulture, $"{partition.LogEndOffset} ");
                    var at = new TopicPartition(topic, partition.Partition);
                    foreach (var queue in await _client.Patient.Queues.ListAsync(at, cancellationToken))
                    {
                        count += queue.Unsettled;
                        if (queue.Unsettled > 0)
                            left.Add($"{queue.Name} of {at} has {queue.Unsettled} unsettled");
                    }
                }
            }
            catch (BrokerException retried) when (retried.Action == ErrorAction.Retry)
            {
                left.Add($"{topic}: {retried.Message}");
                count = long.MaxValue / 2;
            }
        }
        return (count, $"{ends}", left);
    }

    /// <summary>Reads everything anew: orders, accounts and statistics from the grains, and what was sent from the topics.</summary>
    private async Task ReadAsync(OrderBooks books, CancellationToken cancellationToken)
    {
        await ReadOrdersAsync(books, static _ => true, cancellationToken);
        foreach (var customer in books.Opened.Keys)
        {
            books.Accounts[customer] = await _api.GetAsync<AccountView>($"/accounts/{customer}");
            books.Statistics[customer] = await _api.GetAsync<StatisticsView>($"/statistics/{customer}");
        }
        await ReadAsync<AccountOrder>("orders", (customer, record) => books.Bookings.Add((customer, record)), cancellationToken);
        await ReadAsync<Payment>("payments", (_, record) => books.Payments.Add(record), cancellationToken);
        await ReadAsync<OrderEvent>("order-events", (customer, record) => books.Events.Add((customer, record)), cancellationToken);
    }

    private Task ReadOrdersAsync(OrderBooks books, Func<OrderView?, bool> isRead, CancellationToken cancellationToken) =>
        Parallel.ForEachAsync(books.Wanted.Keys.Where(id => isRead(books.Orders.GetValueOrDefault(id))).ToList(),
            new ParallelOptions { MaxDegreeOfParallelism = Readers, CancellationToken = cancellationToken }, async (id, _) =>
            {
                var order = await _api.GetAsync<OrderView>($"/orders/{id}");
                lock (books)
                    books.Orders[id] = order;
            });

    private Task ReadAsync<T>(string topic, Action<string, T> take, CancellationToken cancellationToken) =>
        new TopicReader(_client.Patient, topic, Partitions).ReadAsync((_, record) => take(Encoding.UTF8.GetString(record.Key!.Value.Span),
            JsonSerializer.Deserialize<T>(record.Value!.Value.Span, JsonSerializerOptions.Web)!), cancellationToken);

    private async Task NoDeadLettersAsync(CancellationToken cancellationToken)
    {
        foreach (var topic in (await _client.Patient.ListTopicsAsync(cancellationToken)).Select(static topic => topic.Name)
            .Where(static topic => topic.EndsWith(".dead-letter", StringComparison.Ordinal)))
        {
            Assert.All((await _client.Patient.DescribeTopicAsync(topic, cancellationToken)).Partitions,
                partition => Assert.True(partition.HighWatermark == 0, $"{topic} has {partition.HighWatermark} dead letters."));
        }
    }

    private void Tell(OrderBooks books)
    {
        var faults = string.Join(", ", _injector.Done.OrderBy(static kind => kind.Key).Select(static kind => $"{kind.Value} {kind.Key}"));
        cluster.Log.Tell(string.Create(CultureInfo.InvariantCulture, $"figures: seed {seed}; {_injector.Kills} kills, {cluster.Evictions} "
            + $"evictions ({faults}); {books.Wanted.Count} orders, {_api.Repeated} requests repeated: {books.Count("Paid")} paid, "
            + $"{books.Count("Declined")} declined, {books.Count("Cancelled")} cancelled, of them {books.Refunds} refunded and "
            + $"{books.NeverStored} never stored; {books.Opened.Values.Sum()} cents put in, "
            + $"{books.Accounts.Values.Sum(static account => account.Balance)} on accounts, "
            + $"{books.Statistics.Values.Sum(static counts => counts.PaidCents)} paid"));
    }
}
