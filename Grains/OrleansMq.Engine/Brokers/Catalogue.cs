using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>The list of all topics: its pages in the store. Changes of a page take turns; those of different pages run at once.</summary>
/// <param name="open">Opens a document of <see cref="TopicCatalogue.StoreType"/> by its name.</param>
internal sealed class Catalogue(Func<string, IDocument<TopicCatalogue>> open)
{
    private readonly Page[] _pages =
        [.. Enumerable.Range(0, TopicCatalogue.Pages).Select(page => new Page(open(TopicCatalogue.NameOf(page))))];

    /// <summary>Reads all pages, after it has divided what an earlier version stored as one document.</summary>
    /// <remarks>
    /// That document is deleted after all pages are written, and nothing is changed before. So a crash in between leaves it, and the next
    /// start divides it again. What a page held before is older: the earlier version has run once more.
    /// </remarks>
    public async Task<IReadOnlyList<TopicCatalogue>> OpenAsync()
    {
        var whole = open(TopicCatalogue.WholeName);
        if (await whole.ReadAsync().ConfigureAwait(false) is { } all)
        {
            await Task.WhenAll(Enumerable.Range(0, TopicCatalogue.Pages).Select(page => ReplaceAsync(page, all.OnPage(page))))
                .ConfigureAwait(false);
            await whole.DeleteAsync().ConfigureAwait(false);
        }
        return await ReadAllAsync().ConfigureAwait(false);
    }

    /// <summary>Returns all pages in order.</summary>
    public async Task<IReadOnlyList<TopicCatalogue>> ReadAllAsync() =>
        await Task.WhenAll(_pages.Select(page => page.ReadAsync().AsTask())).ConfigureAwait(false);

    /// <summary>Returns the page of a topic.</summary>
    public ValueTask<TopicCatalogue> ReadAsync(string topic) => _pages[TopicCatalogue.PageOf(topic)].ReadAsync();

    /// <summary>Changes the page of a topic; durable when it completes.</summary>
    /// <param name="topic">The topic's name.</param>
    /// <param name="change">Computes the next page; the same instance for no change. An exception changes nothing.</param>
    /// <param name="stored">Told of the page before and after, once it is stored and before its next change.</param>
    public Task ChangeAsync(string topic, Func<TopicCatalogue, TopicCatalogue> change,
        Action<TopicCatalogue, TopicCatalogue>? stored = null) =>
        ChangeAsync(TopicCatalogue.PageOf(topic), change, stored);

    /// <inheritdoc cref="ChangeAsync(string, Func{TopicCatalogue, TopicCatalogue}, Action{TopicCatalogue, TopicCatalogue}?)"/>
    public Task ChangeAsync(int page, Func<TopicCatalogue, TopicCatalogue> change, Action<TopicCatalogue, TopicCatalogue>? stored = null) =>
        _pages[page].ChangeAsync(change, stored);

    private Task ReplaceAsync(int page, TopicCatalogue next) => ChangeAsync(page,
        before => next.Topics.IsEmpty && next.Leftovers is null && before.Topics.IsEmpty && before.Leftovers is null ? before : next);

    private sealed class Page(IDocument<TopicCatalogue> document)
    {
        private readonly SemaphoreSlim _turn = new(1, 1);

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

        public async Task ChangeAsync(Func<TopicCatalogue, TopicCatalogue> change, Action<TopicCatalogue, TopicCatalogue>? stored)
        {
            await _turn.WaitAsync().ConfigureAwait(false);
            try
            {
                var before = await document.ReadAsync().ConfigureAwait(false) ?? TopicCatalogue.Empty;
                var next = change(before);
                if (ReferenceEquals(before, next))
                    return;
                await document.WriteAsync(next).ConfigureAwait(false);
                stored?.Invoke(before, next);
            }
            finally
            {
                _turn.Release();
            }
        }
    }
}
