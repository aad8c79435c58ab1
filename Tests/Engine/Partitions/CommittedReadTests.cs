using System.Text;
using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Queues;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Reads and queues of a log with transactions, compared with a model.</summary>
public sealed class CommittedReadTests
{
    [Fact]
    public async Task Committed_readers_see_what_was_committed_up_to_the_first_open_transaction_however_they_read()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 10; round++)
        {
            await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = 2_000, FileDeleteDelayMs = 0 });
            var model = await FillAsync(rig, random);
            Assert.True(rig.Partition.LastStableOffset == model.Stable(rig.Partition.HighWatermark), Seeds.Replay(seed));
            for (var read = 0; read < 20; read++)
            {
                var from = random.NextInt64(model.Stable(rig.Partition.HighWatermark) + 1);
                var expected = model.Committed(from, rig.Partition.HighWatermark);
                Assert.True(expected.SequenceEqual(await ReadAsync(rig, from, random.Next(1, 3_000), namesAborted: false)),
                    Seeds.Replay(seed));
                Assert.True(expected.SequenceEqual(await ReadAsync(rig, from, random.Next(1, 3_000), namesAborted: true)),
                    Seeds.Replay(seed));
            }
        }
    }

    [Fact]
    public async Task Batch_of_an_aborted_transaction_is_left_out_but_for_its_header()
    {
        await using var rig = await PartitionRig.StartAsync();
        LoggedTransactions.Append(rig.Partition, rig.Clock.Now, 7, 0, "a", "b", "c");
        await LoggedTransactions.EndAsync(rig.Partition, 7, isCommit: false, 1);
        using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0) { Isolation = IsolationLevel.ReadCommitted });
        var header = RecordBatchHeader.Read(read.Records.Span);
        Assert.Equal((0L, 3L, 0, RecordBatchHeader.Size), (header.BaseOffset, header.NextOffset, header.RecordCount, header.SizeInBytes));
        // The marker follows.
        Assert.True(RecordBatchHeader.Read(read.Records.Span[header.SizeInBytes..]).IsControl);
        using var reader = new RecordReader(read.Records, StandardCodecs.All, verifyCrc: true);
        while (reader.MoveNext())
            Assert.True(reader.Batch.IsControl);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Queue_delivers_what_was_committed_and_settles_the_rest_by_nature(bool isOrderedByKey)
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 3; round++)
        {
            await using var rig = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = 4_000, FileDeleteDelayMs = 0 });
            await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { IsOrderedByKey = isOrderedByKey });
            var model = await FillAsync(rig, random, endsAll: true);
            var consumer = await rig.AttachAsync();
            var received = new List<(long Offset, string Value)>();
            var expected = model.Committed(0, rig.Partition.HighWatermark);
            while (received.Count < expected.Count)
            {
                using var some = await consumer.ReceiveSomeAsync(random.Next(1, 20));
                Assert.True(some is not null, $"{received.Count} of {expected.Count} came; {Seeds.Replay(seed)}");
                foreach (var one in some.Records)
                {
                    received.Add((one.Record.Offset, one.Text()));
                    Assert.Equal(CursorOutcome.Done, (await consumer.SettleAsync(some.Lock, OffsetRange.Of(one.Record.Offset))).Outcome);
                }
            }
            Assert.True(expected.SequenceEqual(received.Order()), Seeds.Replay(seed));
            Assert.Null(await consumer.ReceiveAsync(10, TimeSpan.Zero));
        }
    }

    // Of one producer after the other: plain batches, and those of transactions that are committed, aborted or left open.
    private static async Task<Model> FillAsync(PartitionRig rig, Random random, bool endsAll = false)
    {
        var model = new Model();
        var sequences = new int[4];
        var number = 0L;
        for (var step = 0; step < 80; step++)
        {
            var producer = random.Next(sequences.Length);
            var values = Enumerable.Range(0, random.Next(1, 5)).Select(_ => $"{producer}-{random.Next(1000)}").ToArray();
            if (producer == 0)
            {
                model.Add(rig.Partition.LogEndOffset, values, producer: null);
                Assert.Equal(ErrorCode.None, (await rig.AppendAsync(values)).Error);
            }
            else if (random.Next(3) > 0)
            {
                model.Add(rig.Partition.LogEndOffset, values, producer);
                LoggedTransactions.Append(rig.Partition, rig.Clock.Now, producer, sequences[producer], values);
                sequences[producer] += values.Length;
            }
            else if (model.IsOpen(producer))
            {
                await EndAsync(producer);
            }
        }
        foreach (var producer in Enumerable.Range(1, sequences.Length - 1).Where(producer => endsAll && model.IsOpen(producer)))
            await EndAsync(producer);
        // What was written without a wait is below the high watermark, too.
        model.Add(rig.Partition.LogEndOffset, ["last"], producer: null);
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("last")).Error);
        return model;

        async Task EndAsync(int producer)
        {
            var isCommit = random.Next(2) == 0;
            model.End(producer, isCommit);
            await LoggedTransactions.EndAsync(rig.Partition, producer, isCommit, ++number);
        }
    }

    private static async Task<List<(long Offset, string Value)>> ReadAsync(PartitionRig rig, long from, int maxBytes, bool namesAborted)
    {
        var values = new List<(long, string)>();
        for (var offset = from; ;)
        {
            using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, offset, maxBytes)
            {
                Isolation = IsolationLevel.ReadCommitted,
                NamesAborted = namesAborted,
            });
            Assert.True(read.Error == ErrorCode.None, $"{read.Error}: {read.Message}");
            if (read.Records.IsEmpty)
                return values;
            using var reader = new RecordReader(read.Records, StandardCodecs.All, verifyCrc: true);
            while (reader.MoveNextBatch())
            {
                var batch = reader.Batch;
                var isAborted = namesAborted && read.Aborted.Any(aborted => aborted.ProducerId == batch.ProducerId
                    && batch.IsTransactional && batch.BaseOffset >= aborted.First && batch.BaseOffset < aborted.Last);
                while (reader.HasRecordsLeft)
                {
                    reader.MoveNext();
                    if (!batch.IsControl && !isAborted && reader.Current.Offset >= from)
                        values.Add((reader.Current.Offset, Encoding.UTF8.GetString(reader.Current.Value!.Value.Span)));
                }
                offset = batch.NextOffset;
            }
        }
    }

    private sealed class Model
    {
        // Of no transaction, or of one that is open (null), committed or aborted.
        private readonly List<(long Offset, string Value, int? Producer, bool? IsCommitted)> _records = [];

        public bool IsOpen(int producer) => _records.Exists(record => record.Producer == producer && record.IsCommitted is null);

        public void Add(long offset, string[] values, int? producer)
        {
            foreach (var value in values)
                _records.Add((offset++, value, producer, producer is null ? true : null));
        }

        public void End(int producer, bool isCommit)
        {
            for (var i = 0; i < _records.Count; i++)
            {
                if (_records[i].Producer == producer && _records[i].IsCommitted is null)
                    _records[i] = _records[i] with { IsCommitted = isCommit };
            }
        }

        public long Stable(long highWatermark) =>
            _records.Where(static record => record.IsCommitted is null).Select(static record => record.Offset).Append(highWatermark).Min();

        public List<(long Offset, string Value)> Committed(long from, long highWatermark) =>
            [.. _records.Where(record => record.Offset >= from && record.Offset < Stable(highWatermark) && record.IsCommitted == true)
                .Select(static record => (record.Offset, record.Value))];
    }
}
