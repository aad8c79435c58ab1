using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>The list of all topics: its pages in the store. Changes of a page take turns; those of different pages run at once.</summary>
/// <param name="open">Opens a page's document by its name.</param>
/// <param name="whole">The document of an earlier version.</param>
internal sealed class Catalogue(Func<string, IDocument<TopicCatalogue>> open, IDocument<WholeCatalogue> whole)
{
    private const int ClaimTries = 5;

    private readonly Page[] _pages =
        [.. Enumerable.Range(0, TopicCatalogue.Pages).Select(page => new Page(open(TopicCatalogue.NameOf(page))))];

    /// <summary>Raised whenever a change is refused because a later controller has claimed the page.</summary>
    public event Action? Superseded;

    /// <summary>Reads all pages, after it has divided what an earlier version stored as one document.</summary>
    /// <remarks>
    /// While that document holds topics, it alone counts, and no page has been served since it was written. So a page is replaced by its
    /// share, whatever it holds: an earlier division was interrupted, or the earlier version has run once more. The document is taken out
    /// of use after all pages are written. A crash before leaves it, and the next start divides it again.
    /// <para>Several may divide at once, and one may be slow. Its pages are read, then it claims the document by a write, then it writes
    /// every page. The claim shows that no page was served when they were read, and each write that none was since. One whose claim, pages
    /// or end meet another's write fails, and the next attempt reads everything again.</para>
    /// </remarks>
    /// <param name="isShared">Whether brokers of an earlier version may use the store at the same time. They must not take a missing
    /// document for an empty list, so a mark that they cannot read takes its place. Otherwise the earlier version may run again: it finds
    /// no document, and makes one of the topics' own.</param>
    public async Task<IReadOnlyList<TopicCatalogue>> OpenAsync(bool isShared)
    {
        var found = await whole.ReadAsync().ConfigureAwait(false);
        var pages = await ReadAllAsync().ConfigureAwait(false);
        if (found == WholeCatalogue.Divided)
            return pages;
        if (found?.Topics is { } all)
        {
            await whole.WriteAsync(found).ConfigureAwait(false);
            await Task.WhenAll(Enumerable.Range(0, TopicCatalogue.Pages).Select(page => ChangeAsync(page, _ => all.OnPage(page))))
                .ConfigureAwait(false);
            pages = await ReadAllAsync().ConfigureAwait(false);
        }
        if (isShared)
            await whole.WriteAsync(WholeCatalogue.Divided).ConfigureAwait(false);
        else if (found is not null)
            await whole.DeleteAsync().ConfigureAwait(false);
        return pages;
    }

    /// <summary>Takes all pages over for a controller. From then on an earlier controller changes none of them, and every change that it
    /// made before is in the pages that are returned.</summary>
    /// <param name="epoch">The controller's metadata epoch.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: a later controller has claimed a page;
    /// <see cref="ErrorCode.KafkaStorageError"/>.</exception>
    public async Task<IReadOnlyList<TopicCatalogue>> ClaimAsync(int epoch) =>
        await Task.WhenAll(_pages.Select(page => page.ClaimAsync(epoch))).ConfigureAwait(false);

    /// <summary>Returns all pages in order.</summary>
    public async Task<IReadOnlyList<TopicCatalogue>> ReadAllAsync() =>
        await Task.WhenAll(_pages.Select(page => page.ReadAsync().AsTask())).ConfigureAwait(false);

    /// <summary>Returns the page of a topic.</summary>
    public ValueTask<TopicCatalogue> ReadAsync(string topic) => _pages[TopicCatalogue.PageOf(topic)].ReadAsync();

    /// <summary>Changes the page of a topic; durable when it completes.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="change">Computes the next page; the same instance for no change. An exception changes nothing.</param>
    /// <param name="stored">Told of the page before and after, once it is stored and before its next change.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: a later controller has claimed the page, and nothing
    /// has changed. <see cref="ErrorCode.RequestTimedOut"/>: it has, and whether the change was stored before is unknown.</exception>
    public Task ChangeAsync(string topic, Func<TopicCatalogue, TopicCatalogue> change,
        Action<TopicCatalogue, TopicCatalogue>? stored = null) =>
        ChangeAsync(TopicCatalogue.PageOf(topic), change, stored);

    /// <inheritdoc cref="ChangeAsync(string, Func{TopicCatalogue, TopicCatalogue}, Action{TopicCatalogue, TopicCatalogue}?)"/>
    public async Task ChangeAsync(int page, Func<TopicCatalogue, TopicCatalogue> change,
        Action<TopicCatalogue, TopicCatalogue>? stored = null)
    {
        if (await _pages[page].TryChangeAsync(change, stored).ConfigureAwait(false) is not { } lost)
            return;
        Superseded?.Invoke();
        throw lost;
    }

    /// <summary>The answer where a later controller has taken over, and nothing was done.</summary>
    public static BrokerException Lost() =>
        new(ErrorCode.LeaderNotAvailable, "Another broker controls the cluster's metadata now. Retry.");

    private sealed class Page(IDocument<TopicCatalogue> document)
    {
        private readonly SemaphoreSlim _turn = new(1, 1);
        // Null if no controller has claimed the page: a broker that replicates nothing, which owns its store.
        private int? _epoch;

        public async Task<TopicCatalogue> ClaimAsync(int epoch)
        {
            await _turn.WaitAsync().ConfigureAwait(false);
            try
            {
                _epoch = epoch;
                for (var tries = 1; ; tries++)
                {
                    try
                    {
                        var before = await document.ReadAsync().ConfigureAwait(false) ?? TopicCatalogue.Empty;
                        if (before.Epoch > epoch)
                            throw Lost();
                        if (before.Epoch == epoch)
                            return before;
                        await document.WriteAsync(before with { Epoch = epoch }).ConfigureAwait(false);
                    }
                    catch (Exception overtaken) when (tries < ClaimTries
                        && overtaken is StateConflictException or BrokerException { Code: ErrorCode.KafkaStorageError })
                    {
                        // An earlier controller has just written the page, or the outcome is unknown. The next read tells.
                    }
                }
            }
            finally
            {
                _turn.Release();
            }
        }

        public async ValueTask<TopicCatalogue> ReadAsync()
        {
            await _turn.WaitAsync().ConfigureAwait(false);
            try
            {
                return await document.ReadAsync().ConfigureAwait(false) ?? TopicCatalogue.Empty;
            }
            finally
            {
                _turn.Release();
            }
        }

        // Returns why the page was not changed: it is a later controller's.
        public async Task<BrokerException?> TryChangeAsync(Func<TopicCatalogue, TopicCatalogue> change,
            Action<TopicCatalogue, TopicCatalogue>? stored)
        {
            await _turn.WaitAsync().ConfigureAwait(false);
            try
            {
                var before = await document.ReadAsync().ConfigureAwait(false) ?? TopicCatalogue.Empty;
                if (IsLost(before))
                    return Lost();
                var next = change(before);
                if (ReferenceEquals(before, next))
                    return null;
                next = next with { Epoch = _epoch ?? before.Epoch };
                try
                {
                    await document.WriteAsync(next).ConfigureAwait(false);
                }
                catch (Exception failed) when (failed is StateConflictException or BrokerException { Code: ErrorCode.KafkaStorageError })
                {
                    // The page tells whether a later controller was in the way, or the store failed.
                    if (!IsLost(await document.ReadAsync().ConfigureAwait(false) ?? TopicCatalogue.Empty))
                        throw;
                    return failed is StateConflictException or { InnerException: StateConflictException } ? Lost()
                        : new BrokerException(ErrorCode.RequestTimedOut, "Another broker controls the cluster's metadata now; whether the "
                            + "change was stored before is unknown. Retry.", failed);
                }
                stored?.Invoke(before, next);
                return null;
            }
            finally
            {
                _turn.Release();
            }
        }

        // A lower epoch is that of an earlier version, which knows of none.
        private bool IsLost(TopicCatalogue page) => _epoch is { } own && page.Epoch != own;
    }
}
