using System.Collections.Immutable;
using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Tests.Engine.Groups.Offsets;

/// <summary><see cref="RandomTransactions"/> with the shipped decisions, and with wrong ones. <c>OMQ_SEED</c> repeats a seed.</summary>
public sealed class TransactionModelTests
{
    private const int Seeds = 2_000;
    private const int Steps = 200;

    [Fact]
    public void Offsets_are_those_of_committed_transactions_and_commits_in_the_order_of_their_arrival()
    {
        var figures = new Dictionary<string, int>();
        var given = Environment.GetEnvironmentVariable("OMQ_SEED");
        foreach (var seed in given is null ? Enumerable.Range(0, Seeds) : [int.Parse(given, CultureInfo.InvariantCulture)])
        {
            var run = new RandomTransactions(seed, GroupRules.Shipped);
            try
            {
                run.Run(Steps);
            }
            catch (WrongOffsetsException wrong)
            {
                Assert.Fail($"seed {seed}: {wrong.Message}; repeat with OMQ_SEED={seed}");
            }
            foreach (var (what, times) in run.Figures)
                figures[what] = figures.GetValueOrDefault(what) + times;
        }
        if (given is null)
            Assert.All((string[])["commits", "late commits", "ends by commit", "ends by abort", "late ends", "commits outside", "deletes",
                "restarts", "pending", "ends by a fenced coordinator", "commits by a fenced producer"],
                what => Assert.InRange(figures.GetValueOrDefault(what), 1_000, int.MaxValue));
    }

    [Theory]
    [MemberData(nameof(MutantNames))]
    public void Wrong_decision_is_found(string mutant)
    {
        var (rules, restart) = Mutants[mutant];
        for (var seed = 0; seed < Seeds; seed++)
        {
            try
            {
                new RandomTransactions(seed, rules, restart).Run(Steps);
            }
            catch (WrongOffsetsException)
            {
                return;
            }
        }
        Assert.Fail($"{Seeds} seeds did not find {mutant}.");
    }

    public static TheoryData<string> MutantNames => [.. Mutants.Keys];

    private static Dictionary<string, (GroupRules, Func<GroupOffsetsDocument, GroupOffsetsDocument>?)> Mutants { get; } = new()
    {
        [nameof(LateCommitsOpen)] = (new LateCommitsOpen(), null),
        [nameof(EmptyEndsAreForgotten)] = (new EmptyEndsAreForgotten(), null),
        [nameof(AnyNumberEnds)] = (new AnyNumberEnds(), null),
        [nameof(FencesGoBack)] = (new FencesGoBack(), null),
        [nameof(LastEndPrevails)] = (new LastEndPrevails(), null),
        [nameof(EndsInPart)] = (new EndsInPart(), null),
        [nameof(AbortsCommit)] = (new AbortsCommit(), null),
        [nameof(PendingOutlivesCommits)] = (new PendingOutlivesCommits(), null),
        [nameof(FencedCoordinatorEnds)] = (new FencedCoordinatorEnds(), null),
        [nameof(FencedProducerCommits)] = (new FencedProducerCommits(), null),
        [nameof(PendingIsStable)] = (new PendingIsStable(), null),
        [nameof(AllAreUnstable)] = (new AllAreUnstable(), null),
        ["RestartForgetsOrder"] = (GroupRules.Shipped, static document => document with
        {
            Pending = [.. document.Pending.Select(static pending => pending with
            {
                Topics = [.. pending.Topics.Select(static topic => topic with
                {
                    Partitions = [.. topic.Partitions.Select(static offset => offset with { Order = null })],
                })],
            })],
        }),
        ["RestartForgetsFences"] = (GroupRules.Shipped, static document => document with { Fences = null }),
        ["RestartForgetsPending"] = (GroupRules.Shipped, static document => document with { Pending = [] }),
    };

    private static GroupOffsets WithoutFences(GroupOffsets offsets) =>
        offsets with { Fences = ImmutableSortedDictionary<long, ProducerFence>.Empty };

    // The fences that a decision made of offsets whose own were hidden from it.
    private static OffsetOutcome<TReply> Restored<TReply>(OffsetOutcome<TReply> outcome, GroupOffsets before) => outcome with
    {
        Next = outcome.Next with
        {
            Fences = before.Fences.SetItems(outcome.Next.Fences.Where(static fence => fence.Value.Number > 0)),
        },
    };

    private sealed class LateCommitsOpen : GroupRules
    {
        public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
            GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
            Restored(base.Commit(offsets with
            {
                Fences = offsets.Fences.ToImmutableSortedDictionary(static fence => fence.Key,
                    static fence => fence.Value with { Number = 0 }),
            }, request, topics, options, now, check), offsets);
    }

    private sealed class EmptyEndsAreForgotten : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
            offsets.Pending.Find(request.Producer.ProducerId) is null ? new(offsets, default) : base.End(offsets, request, now);
    }

    private sealed class AnyNumberEnds : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
            base.End(offsets, offsets.Pending.Find(request.Producer.ProducerId) is { } open
                ? request with { Number = open.Number } : request, now);
    }

    private sealed class FencesGoBack : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
            Restored(base.End(WithoutFences(offsets), request, now), offsets);
    }

    private sealed class LastEndPrevails : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now)
        {
            var outcome = base.End(offsets, request, now);
            return outcome with
            {
                Next = outcome.Next with
                {
                    Pending = ReferenceEquals(outcome.Next, offsets) ? offsets.Pending
                        : offsets.Pending.WithoutTransaction(request.Producer.ProducerId),
                },
            };
        }
    }

    private sealed class EndsInPart : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
            offsets.Pending.Find(request.Producer.ProducerId) is { Offsets.Count: > 1 } open
                ? base.End(offsets with { Pending = offsets.Pending.Without(open.Offsets.Keys.First()) }, request, now)
                : base.End(offsets, request, now);
    }

    private sealed class AbortsCommit : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
            base.End(offsets, request with { IsCommit = true }, now);
    }

    private sealed class PendingOutlivesCommits : GroupRules
    {
        public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, OffsetCommit request, GroupTopics topics,
            GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check)
        {
            var outcome = base.Commit(offsets, request, topics, options, now, check);
            return outcome with { Next = outcome.Next with { Pending = offsets.Pending } };
        }
    }

    private sealed class FencedCoordinatorEnds : GroupRules
    {
        public override OffsetOutcome<GroupReply> End(GroupOffsets offsets, EndTransactionOffsets request, DateTimeOffset now) =>
            base.End(offsets, request with { CoordinatorEpoch = int.MaxValue }, now);
    }

    private sealed class FencedProducerCommits : GroupRules
    {
        public override OffsetOutcome<OffsetCommitResult> Commit(GroupOffsets offsets, TransactionOffsetCommit request, GroupTopics topics,
            GroupOptions options, DateTimeOffset now, Func<PartitionOffset, GroupTopic, ErrorCode>? check) =>
            base.Commit(offsets, request with { Producer = request.Producer with { ProducerEpoch = short.MaxValue } }, topics, options, now,
                check);
    }

    private sealed class PendingIsStable : GroupRules
    {
        public override OffsetFetchResult Fetch(GroupOffsets offsets, OffsetFetch request, GroupTopics topics) =>
            base.Fetch(offsets, request with { RequireStable = false }, topics);
    }

    private sealed class AllAreUnstable : GroupRules
    {
        public override OffsetFetchResult Fetch(GroupOffsets offsets, OffsetFetch request, GroupTopics topics)
        {
            var result = base.Fetch(offsets, request, topics);
            return request.RequireStable && !offsets.Pending.IsEmpty
                ? result with { Partitions = [.. result.Partitions.Select(static found => found with
                    { Error = ErrorCode.UnstableOffsetCommit })] }
                : result;
        }
    }
}
