using Npgsql;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.PostgreSql.Consuming;

/// <summary>The inbox and the sequence check against a real server.</summary>
public sealed class InboxTests(PostgreSqlFixture postgres) : IClassFixture<PostgreSqlFixture>
{
    private static readonly Guid TopicId = Guid.NewGuid();

    private static ConsumeResult<string, string> Record(long offset, int partition = 0, Guid? topicId = null) =>
        new(new TopicPartition("orders", partition), offset, 0, "", "", [], 0) { TopicId = topicId ?? TopicId };

    private async Task<NpgsqlDataSource> DatabaseAsync()
    {
        var database = NpgsqlDataSource.Create(await postgres.DatabaseAsync());
        await ConsumerTables.CreateAsync(database);
        return database;
    }

    private static async Task<T> InTransactionAsync<T>(NpgsqlDataSource database, Func<NpgsqlTransaction, Task<T>> work,
        bool commits = true)
    {
        await using var connection = await database.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        var result = await work(transaction);
        if (commits)
            await transaction.CommitAsync();
        return result;
    }

    [SkippableFact]
    public async Task Tables_are_created_once_by_concurrent_callers()
    {
        await using var database = NpgsqlDataSource.Create(await postgres.DatabaseAsync());
        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => ConsumerTables.CreateAsync(database)));
        await ConsumerTables.CreateAsync(database);
        Assert.True(await InTransactionAsync(database, transaction => new PostgresInbox("billing").TryAddAsync(transaction, Record(0))
            .AsTask()));
    }

    [SkippableFact]
    public async Task Record_is_taken_once_and_again_only_after_a_rollback()
    {
        await using var database = await DatabaseAsync();
        var inbox = new PostgresInbox("billing");
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(1)).AsTask(), commits: false));
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(1)).AsTask()));
        Assert.False(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(1)).AsTask()));
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(1, partition: 1)).AsTask()));
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(1, topicId: Guid.NewGuid()))
            .AsTask()));
        Assert.True(await InTransactionAsync(database, transaction => new PostgresInbox("shipping").TryAddAsync(transaction, Record(1))
            .AsTask()));
    }

    [SkippableFact]
    public async Task Second_of_two_concurrent_takers_waits_and_is_refused()
    {
        await using var database = await DatabaseAsync();
        var inbox = new PostgresInbox("billing");
        await using var connection = await database.OpenConnectionAsync();
        await using var first = await connection.BeginTransactionAsync();
        Assert.True(await inbox.TryAddAsync(first, Record(7)));
        var second = Task.Run(() => InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(7)).AsTask()));
        await WaitForLockAsync(database);
        Assert.False(second.IsCompleted);
        await first.CommitAsync();
        Assert.False(await second);
    }

    [SkippableFact]
    public async Task Message_id_is_recognised_from_any_source_until_it_expires()
    {
        await using var database = await DatabaseAsync();
        var inbox = new PostgresInbox("billing");
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, "order 7").AsTask()));
        Assert.False(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, "order 7").AsTask()));
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, Record(3)).AsTask()));
        Assert.Equal(0, await inbox.PruneAsync(database, DateTimeOffset.UtcNow.AddDays(-1)));
        Assert.Equal(2, await inbox.PruneAsync(database, DateTimeOffset.UtcNow.AddDays(1)));
        Assert.True(await InTransactionAsync(database, transaction => inbox.TryAddAsync(transaction, "order 7").AsTask()));
    }

    [SkippableFact]
    public async Task Sequence_numbers_in_any_order_leave_exactly_the_missing_gaps()
    {
        await using var database = await DatabaseAsync();
        var sequences = new PostgresSequences("billing");
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var numbers = Enumerable.Range(0, 60).Select(number => (long)number).Where(_ => random.Next(4) > 0).ToArray();
        var sent = numbers.Concat(numbers.Take(10)).ToArray();
        random.Shuffle(sent);
        var seen = new HashSet<long>();
        foreach (var number in sent)
        {
            var finding = await InTransactionAsync(database, transaction => sequences.CheckAsync(transaction, "till 3", number));
            Assert.True(finding == SequenceFinding.Duplicate == !seen.Add(number), $"seed {seed}: {number} is {finding}");
        }
        var missing = (await sequences.FindGapsAsync(database)).SelectMany(gap =>
            Enumerable.Range((int)gap.First, (int)(gap.Last - gap.First + 1)).Select(number => (long)number));
        Assert.True(missing.SequenceEqual(Enumerable.Range(0, (int)numbers[^1]).Select(number => (long)number).Except(numbers)),
            $"seed {seed}");
    }

    [SkippableFact]
    public async Task Rolled_back_change_leaves_no_trace()
    {
        await using var database = await DatabaseAsync();
        var sequences = new PostgresSequences("billing");
        Assert.Equal(SequenceFinding.InOrder,
            await InTransactionAsync(database, transaction => sequences.CheckOffsetAsync(transaction, Record(5), first: 5)));
        Assert.Equal(SequenceFinding.InOrder,
            await InTransactionAsync(database, transaction => sequences.CheckOffsetAsync(transaction, Record(6)), commits: false));
        Assert.Equal(SequenceFinding.AfterGap,
            await InTransactionAsync(database, transaction => sequences.CheckOffsetAsync(transaction, Record(7))));
        Assert.Equal([new SequenceGap($"{TopicId}-0", 6, 6)], await sequences.FindGapsAsync(database));
    }

    [Fact]
    public void Sequence_numbers_travel_in_headers()
    {
        Assert.True(RecordSequence.TryRead(RecordSequence.Headers("till 3", 42), out var source, out var number));
        Assert.Equal(("till 3", 42L), (source, number));
        Assert.False(RecordSequence.TryRead([], out _, out _));
    }

    internal static async Task WaitForLockAsync(NpgsqlDataSource database)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            await using var command = database.CreateCommand("SELECT count(*) FROM pg_locks WHERE NOT granted");
            if ((long)(await command.ExecuteScalarAsync(deadline.Token))! > 0)
                return;
            await Task.Delay(5, deadline.Token);
        }
    }
}
