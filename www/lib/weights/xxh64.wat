;; XXH64 with seed 0, as https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md describes it, of bytes that
;; lie in this module's memory:
;;
;;   begin, then stripes (a multiple of 32 bytes) as often as there are some, then end (what is left, fewer than 32)

(module
  (memory (export "memory") 1)

  ;; Four sums, of each fourth word of eight bytes.
  (global $a (mut i64) (i64.const 0))
  (global $b (mut i64) (i64.const 0))
  (global $c (mut i64) (i64.const 0))
  (global $d (mut i64) (i64.const 0))

  (func $round (param $sum i64) (param $word i64) (result i64)
    (i64.mul
      (i64.rotl (i64.add (local.get $sum) (i64.mul (local.get $word) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
      (i64.const 0x9E3779B185EBCA87)))

  (func $merge (param $hash i64) (param $sum i64) (result i64)
    (i64.add
      (i64.mul (i64.xor (local.get $hash) (call $round (i64.const 0) (local.get $sum))) (i64.const 0x9E3779B185EBCA87))
      (i64.const 0x85EBCA77C2B2AE63)))

  (func (export "begin")
    (global.set $a (i64.add (i64.const 0x9E3779B185EBCA87) (i64.const 0xC2B2AE3D27D4EB4F)))
    (global.set $b (i64.const 0xC2B2AE3D27D4EB4F))
    (global.set $c (i64.const 0))
    (global.set $d (i64.sub (i64.const 0) (i64.const 0x9E3779B185EBCA87))))

  (func (export "stripes") (param $at i32) (param $bytes i32)
    (local $end i32) (local $wa i64) (local $wb i64) (local $wc i64) (local $wd i64)
    (if (i32.eqz (local.get $bytes)) (then (return)))
    (local.set $end (i32.add (local.get $at) (local.get $bytes)))
    (local.set $wa (global.get $a))
    (local.set $wb (global.get $b))
    (local.set $wc (global.get $c))
    (local.set $wd (global.get $d))
    ;; $round, four times: a call for each word would take three times as long.
    (loop $next
      (local.set $wa
        (i64.mul
          (i64.rotl
            (i64.add (local.get $wa) (i64.mul (i64.load (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F)))
            (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
      (local.set $wb
        (i64.mul
          (i64.rotl
            (i64.add (local.get $wb) (i64.mul (i64.load offset=8 (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F)))
            (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
      (local.set $wc
        (i64.mul
          (i64.rotl
            (i64.add (local.get $wc) (i64.mul (i64.load offset=16 (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F)))
            (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
      (local.set $wd
        (i64.mul
          (i64.rotl
            (i64.add (local.get $wd) (i64.mul (i64.load offset=24 (local.get $at)) (i64.const 0xC2B2AE3D27D4EB4F)))
            (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (global.set $a (local.get $wa))
    (global.set $b (local.get $wb))
    (global.set $c (local.get $wc))
    (global.set $d (local.get $wd)))

  ;; $total: the length of all that was given, these bytes included
  (func (export "end") (param $at i32) (param $bytes i32) (param $total i32) (result i64)
    (local $end i32) (local $hash i64)
    (local.set $end (i32.add (local.get $at) (local.get $bytes)))
    (if (i32.lt_u (local.get $total) (i32.const 32))
      (then (local.set $hash (i64.const 0x27D4EB2F165667C5)))
      (else
        (local.set $hash
          (i64.add
            (i64.add (i64.rotl (global.get $a) (i64.const 1)) (i64.rotl (global.get $b) (i64.const 7)))
            (i64.add (i64.rotl (global.get $c) (i64.const 12)) (i64.rotl (global.get $d) (i64.const 18)))))
        (local.set $hash (call $merge (local.get $hash) (global.get $a)))
        (local.set $hash (call $merge (local.get $hash) (global.get $b)))
        (local.set $hash (call $merge (local.get $hash) (global.get $c)))
        (local.set $hash (call $merge (local.get $hash) (global.get $d)))))
    (local.set $hash (i64.add (local.get $hash) (i64.extend_i32_u (local.get $total))))
    (block $eights
      (loop $next
        (br_if $eights (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $end)))
        (local.set $hash
          (i64.add
            (i64.mul
              (i64.rotl (i64.xor (local.get $hash) (call $round (i64.const 0) (i64.load (local.get $at)))) (i64.const 27))
              (i64.const 0x9E3779B185EBCA87))
            (i64.const 0x85EBCA77C2B2AE63)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (if (i32.le_u (i32.add (local.get $at) (i32.const 4)) (local.get $end))
      (then
        (local.set $hash
          (i64.add
            (i64.mul
              (i64.rotl
                (i64.xor (local.get $hash) (i64.mul (i64.load32_u (local.get $at)) (i64.const 0x9E3779B185EBCA87)))
                (i64.const 23))
              (i64.const 0xC2B2AE3D27D4EB4F))
            (i64.const 0x165667B19E3779F9)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))))
    (block $ones
      (loop $next
        (br_if $ones (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $hash
          (i64.mul
            (i64.rotl
              (i64.xor (local.get $hash) (i64.mul (i64.load8_u (local.get $at)) (i64.const 0x27D4EB2F165667C5)))
              (i64.const 11))
            (i64.const 0x9E3779B185EBCA87)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.set $hash (i64.mul (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 33))) (i64.const 0xC2B2AE3D27D4EB4F)))
    (local.set $hash (i64.mul (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 29))) (i64.const 0x165667B19E3779F9)))
    (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32)))))
