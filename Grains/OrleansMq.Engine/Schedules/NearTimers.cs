namespace OrleansMq.Schedules;

/// <summary>
/// Timers in memory: a list of them in order, and a hash index of the handles. A timer takes 44 bytes, 4 to 8 in the list and 5 to 11 in
/// the index; few timers take more. Timers stand in pages, the list is cut into runs and the index into parts that grow one by one.
/// </summary>
/// <param name="topics">Counts the timers of each topic.</param>
internal sealed partial class NearTimers(TimerTopics topics)
{
    private const int PageBits = 12;
    private const int PageSize = 1 << PageBits;
    private const int Parts = 256;

    private readonly List<Page> _pages = [];
    private readonly HandleIndex[] _index = new HandleIndex[Parts];
    private int _free = -1; // the first free entry; its reference is the next one
    private int _used; // entries ever used

    private readonly record struct Entry(ScheduleHandle Handle, long Reference, long Content);

    private sealed class Page
    {
        public Entry[] Entries { get; } = new Entry[PageSize];
        public int[] Topics { get; } = new int[PageSize];
    }

    public int Count { get; private set; }

    /// <summary>Adds a timer; one with the same handle is replaced.</summary>
    public void Set(in ScheduledTimer timer)
    {
        var hash = HashOf(timer.Handle);
        ref var part = ref PartOf(hash);
        var entry = part.Find(this, timer.Handle, hash);
        if (entry >= 0)
        {
            topics.Remove(TopicAt(entry));
            Write(entry, timer);
            return;
        }
        entry = TakeEntry();
        Write(entry, timer);
        part.Add(this, entry, hash);
        Insert(entry);
        Count++;
    }

    /// <summary>Removes a timer.</summary>
    /// <returns>False if it is not here.</returns>
    public bool Remove(ScheduleHandle handle) => Remove(handle, out _);

    /// <summary>Removes a timer, and returns it.</summary>
    /// <returns>False if it is not here.</returns>
    public bool Remove(ScheduleHandle handle, out ScheduledTimer timer)
    {
        var hash = HashOf(handle);
        ref var part = ref PartOf(hash);
        var entry = part.Find(this, handle, hash);
        timer = entry < 0 ? default : TimerAt(entry);
        if (entry < 0)
            return false;
        topics.Remove(TopicAt(entry));
        RemoveFromOrder(handle);
        part.Remove(this, entry, hash);
        Count--;
        EntryAt(entry) = new Entry(default, _free, 0);
        _free = entry;
        return true;
    }

    /// <summary>Returns the timer with this handle.</summary>
    public bool TryGet(ScheduleHandle handle, out ScheduledTimer timer)
    {
        var hash = HashOf(handle);
        var entry = PartOf(hash).Find(this, handle, hash);
        timer = entry < 0 ? default : TimerAt(entry);
        return entry >= 0;
    }

    /// <summary>Returns a timer by its id alone.</summary>
    public bool TryFind(Guid id, out ScheduledTimer timer)
    {
        var hash = HashOf(id);
        var entry = PartOf(hash).Find(this, id, hash);
        timer = entry < 0 ? default : TimerAt(entry);
        return entry >= 0;
    }

    private ref Entry EntryAt(int entry) => ref _pages[entry >> PageBits].Entries[entry & (PageSize - 1)];

    private ref int TopicAt(int entry) => ref _pages[entry >> PageBits].Topics[entry & (PageSize - 1)];

    private ScheduledTimer TimerAt(int entry)
    {
        var (handle, reference, content) = EntryAt(entry);
        return new ScheduledTimer(handle, reference, content, topics.IdOf(TopicAt(entry)));
    }

    private void Write(int entry, in ScheduledTimer timer)
    {
        EntryAt(entry) = new Entry(timer.Handle, timer.Reference, timer.Content);
        TopicAt(entry) = topics.Add(timer.TopicId);
    }

    private ref HandleIndex PartOf(uint hash) => ref _index[hash & (Parts - 1)];

    private static uint HashOf(ScheduleHandle handle) => HashOf(handle.Id);

    // Of the id alone, by which clients cancel. They choose ids: the hash is seeded by the process.
    private static uint HashOf(Guid id) => (uint)HashCode.Combine(id);

    private int TakeEntry()
    {
        if (_free >= 0)
        {
            var entry = _free;
            _free = (int)EntryAt(entry).Reference;
            return entry;
        }
        if (_used == _pages.Count * PageSize)
            _pages.Add(new Page());
        return _used++;
    }

    // One part of the index: open addressing with linear probing. A slot holds an entry + 1; 0 is free.
    private struct HandleIndex
    {
        private int[]? _slots;
        private int _count;

        public readonly int Find(NearTimers timers, ScheduleHandle handle, uint hash)
        {
            if (_slots is null)
                return -1;
            for (var slot = Home(hash); _slots[slot] != 0; slot = Next(slot))
            {
                if (timers.EntryAt(_slots[slot] - 1).Handle == handle)
                    return _slots[slot] - 1;
            }
            return -1;
        }

        public readonly int Find(NearTimers timers, Guid id, uint hash)
        {
            if (_slots is null)
                return -1;
            for (var slot = Home(hash); _slots[slot] != 0; slot = Next(slot))
            {
                if (timers.EntryAt(_slots[slot] - 1).Handle.Id == id)
                    return _slots[slot] - 1;
            }
            return -1;
        }

        public void Add(NearTimers timers, int entry, uint hash)
        {
            _slots ??= new int[8];
            if (++_count * 4 > _slots.Length * 3)
                Grow(timers);
            Put(entry, hash);
        }

        public void Remove(NearTimers timers, int entry, uint hash)
        {
            var hole = Home(hash);
            while (_slots![hole] != entry + 1)
                hole = Next(hole);
            _count--;
            // Entries behind the hole move into it, unless that is before their home.
            for (var slot = Next(hole); _slots[slot] != 0; slot = Next(slot))
            {
                var home = Home(HashOf(timers.EntryAt(_slots[slot] - 1).Handle));
                if (((slot - home) & (_slots.Length - 1)) < ((slot - hole) & (_slots.Length - 1)))
                    continue;
                _slots[hole] = _slots[slot];
                hole = slot;
            }
            _slots[hole] = 0;
        }

        private readonly int Home(uint hash) => (int)(hash / Parts) & (_slots!.Length - 1);

        private readonly int Next(int slot) => (slot + 1) & (_slots!.Length - 1);

        private readonly void Put(int entry, uint hash)
        {
            var slot = Home(hash);
            while (_slots![slot] != 0)
                slot = Next(slot);
            _slots[slot] = entry + 1;
        }

        private void Grow(NearTimers timers)
        {
            var old = _slots!;
            _slots = new int[checked(old.Length * 2)];
            foreach (var slot in old)
            {
                if (slot != 0)
                    Put(slot - 1, HashOf(timers.EntryAt(slot - 1).Handle));
            }
        }
    }
}
